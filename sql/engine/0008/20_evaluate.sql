-- pgbackfill, engine: what guards measure, and what follows from it
--
-- What is built in is measured with the rights of the functions' owner. A query of somebody's own is
-- evaluated with the rights of the session that does it, and so only in sessions of the login that
-- the guard names, where the server refuses any write: as a run's condition is, and for its reasons.

create function backfill.guard_level(p_level text, p_value numeric, p_slow_above numeric, p_hold_above numeric, p_clear_below numeric)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case when p_value > p_hold_above then 'hold'
                when p_value <= coalesce(p_clear_below, least(p_slow_above, p_hold_above)) then 'clear'
                when p_level = 'hold' and p_hold_above is not null then 'hold'
                when p_value > p_slow_above or p_level <> 'clear' and p_slow_above is not null then 'slow'
                else 'clear' end
$$;
comment on function backfill.guard_level(text, numeric, numeric, numeric, numeric) is
    'What a value asks for (clear, slow, hold), after what was asked for before: what has begun goes on until the value is not above p_clear_below.';

create function backfill.guard_amount(p_kind text, p_value numeric)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case p_kind
           when 'replication_lag' then trim_scale(round(p_value, 1)) || ' s'
           when 'oldest_transaction' then trim_scale(round(p_value, 1)) || ' s'
           when 'replication_bytes' then pg_size_pretty(round(p_value))
           when 'wal_rate' then pg_size_pretty(round(p_value)) || '/s'
           else trim_scale(p_value)::text end
$$;
comment on function backfill.guard_amount(text, numeric) is 'A value of a guard of this kind with its unit.';

create function backfill.guard_reason(p_guard backfill.guard, p_state text, p_value numeric, p_detail text, p_error text)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case when p_state = 'clear' then null
                when p_error is not null and p_state = 'hold' then format('held by guard %s, which can''t be evaluated: %s', p_guard.name, p_error)
                else format('%s by guard %s: %s is %s%s, %s%s',
                    case p_state when 'hold' then 'held' else 'slowed' end, p_guard.name,
                    case p_guard.kind
                    when 'replication_lag' then 'replication lag'
                    when 'replication_bytes' then 'WAL not replayed'
                    when 'oldest_transaction' then 'the age of the oldest transaction'
                    when 'active_sessions' then 'the number of active sessions'
                    when 'vacuum' then 'the number of vacuums under way'
                    when 'wal_rate' then 'WAL written'
                    else 'its query''s value' end,
                    backfill.guard_amount(p_guard.kind, p_value), ' (' || p_detail || ')', t.words,
                    case when c.clear < t.above then '; until it is not above ' || backfill.guard_amount(p_guard.kind, c.clear) else '' end) end
      from (select case p_state when 'hold' then p_guard.hold_above else p_guard.slow_above end as above) a
     cross join lateral (
           select a.above, case when p_value > a.above then 'above ' else 'was above ' end || backfill.guard_amount(p_guard.kind, a.above) as words) t
     cross join lateral (select coalesce(p_guard.clear_below, least(p_guard.slow_above, p_guard.hold_above)) as clear) c
$$;
comment on function backfill.guard_reason(backfill.guard, text, numeric, text, text) is 'Why a guard holds or slows, in words; null: it does neither.';

create function backfill.measure_replication(p_guard backfill.guard, out value numeric, out detail text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    select case when p_guard.kind = 'replication_bytes' then x.bytes
                -- nothing is behind where all is replayed, whatever was measured last
                when x.bytes = 0 then 0 else extract(epoch from coalesce(x.replay_lag, '0')) end,
           x.application_name
      into value, detail
      from (select r.application_name, r.replay_lag, greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn), 0) as bytes
              from pg_stat_replication r
             where r.state in ('streaming', 'catchup') and r.replay_lsn is not null
               and (p_guard.subject is null or r.application_name = p_guard.subject)) x
     order by 1 desc limit 1;
    if not found then
        raise exception '%', case when p_guard.subject is null then 'no replica is connected' else format('replica %s is not connected', p_guard.subject) end;
    end if;
end $$;
comment on function backfill.measure_replication(backfill.guard) is 'How far the slowest replica, or the one that the guard names, is behind.';

create function backfill.measure_vacuum(p_guard backfill.guard, out value numeric, out detail text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_name text := coalesce(p_guard.subject, (select t.binding ->> 'table' from backfill.task t where t.name = p_guard.task));
    v_table regclass := to_regclass(case when v_name like '%.%' then v_name else 'public.' || v_name end);
begin
    if v_table is null then
        raise exception '%', case when v_name is null then format('task %s names no table', p_guard.task) else format('there is no table %s', v_name) end;
    end if;
    select count(*), min(c.oid::regclass::text) into value, detail
      from (select v_table::oid as oid union select p.relid from pg_partition_tree(v_table) p) t
      join pg_class c on c.oid = t.oid
      join pg_stat_progress_vacuum v on v.datid = (select d.oid from pg_database d where d.datname = current_database()) and v.relid in (c.oid, c.reltoastrelid);
end $$;
comment on function backfill.measure_vacuum(backfill.guard) is 'How many vacuums, automatic or not, of the table or its partitions are under way.';

create function backfill.measure_wal(p_guard backfill.guard, out value numeric, out detail text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_now timestamptz := clock_timestamp();
    v_position pg_lsn := pg_current_wal_insert_lsn();
    v_last backfill.guard_reading;
begin
    select * into strict v_last from backfill.guard_reading r where r.guard = p_guard.name;
    if v_last.wal_at > v_now - p_guard.every / 2 and v_last.wal_at <= v_now then
        -- too short a time to measure in
        value := v_last.value;
        return;
    end if;
    -- an average over the time in which nobody looked says nothing of now
    if v_last.wal_at > v_now - p_guard.every * 5 and v_last.wal_at < v_now and v_position >= v_last.wal_position then
        value := pg_wal_lsn_diff(v_position, v_last.wal_position) / extract(epoch from v_now - v_last.wal_at);
    end if;
    update backfill.guard_reading r set wal_at = v_now, wal_position = v_position where r.guard = p_guard.name;
end $$;
comment on function backfill.measure_wal(backfill.guard) is 'WAL written a second since it was measured before; null where that is not known yet.';

create function backfill.measure_guard(p_guard text, out value numeric, out detail text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_guard backfill.guard;
begin
    select * into strict v_guard from backfill.guard g where g.name = p_guard;
    if v_guard.kind <> 'wal_rate' and not pg_has_role('pg_read_all_stats', 'usage') then
        raise exception 'role % may not look at other sessions: grant pg_read_all_stats to it', current_user;
    end if;
    if v_guard.kind in ('replication_lag', 'replication_bytes') then
        select m.value, m.detail into value, detail from backfill.measure_replication(v_guard) m;
    elsif v_guard.kind = 'vacuum' then
        select m.value, m.detail into value, detail from backfill.measure_vacuum(v_guard) m;
    elsif v_guard.kind = 'wal_rate' then
        select m.value, m.detail into value, detail from backfill.measure_wal(v_guard) m;
    elsif v_guard.kind = 'active_sessions' then
        select count(*) into value from pg_stat_activity a
         where a.backend_type = 'client backend' and a.state = 'active' and a.pid <> pg_backend_pid() and a.application_name not like 'backfill %';
    elsif v_guard.kind = 'oldest_transaction' then
        -- those of other databases keep vacuum from nothing here
        select extract(epoch from clock_timestamp() - x.began), x.who into value, detail from (
            select a.xact_start as began, format('process %s of %s', a.pid, a.usename) as who from pg_stat_activity a
             where a.datname = current_database() and a.backend_type = 'client backend' and a.pid <> pg_backend_pid() and a.xact_start is not null
            union all
            select p.prepared, format('prepared transaction %s of %s', quote_literal(left(p.gid, 60)), p.owner) from pg_prepared_xacts p
             where p.database = current_database()) x
         order by 1 desc limit 1;
        value := greatest(coalesce(value, 0), 0);
    else
        raise exception 'what a query says is not measured with the rights of %', current_user;
    end if;
end $$;
comment on function backfill.measure_guard(text) is 'What a guard of a kind that is built in measures now. Called by evaluate_guard().';

create function backfill.note_guard(p_guard text, p_value numeric, p_detail text, p_error text, p_took interval default '0')
returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_guard backfill.guard;
    v_last backfill.guard_reading;
    v_now timestamptz;
    v_level text;
    v_state text;
    v_reason text;
begin
    select * into v_guard from backfill.guard g where g.name = p_guard;
    select * into v_last from backfill.guard_reading r where r.guard = p_guard for no key update;
    if v_guard.name is null or v_last.guard is null then
        return null;
    end if;
    v_now := clock_timestamp();
    v_level := case when p_error is null and p_value is not null
                    then backfill.guard_level(v_last.level, p_value, v_guard.slow_above, v_guard.hold_above, v_guard.clear_below)
                    else v_last.level end;
    v_state := case when p_error is null then v_level when v_guard.on_failure = 'hold' then 'hold' else 'clear' end;
    v_reason := backfill.guard_reason(v_guard, v_state, coalesce(p_value, v_last.value), left(p_detail, 100), left(p_error, 300));
    update backfill.guard_reading r
       set value = coalesce(p_value, r.value), detail = left(p_detail, 100), error = left(p_error, 300), level = v_level, state = v_state, reason = v_reason,
           since = case when v_state = r.state then r.since else v_now end, evaluated_at = v_now,
           -- measuring takes a twentieth of the time at most, or claims would never get their turn
           due_at = v_now + greatest(v_guard.every, p_took * 20)
     where r.guard = p_guard;
    if v_state = 'hold' and v_last.state <> 'hold' then
        perform backfill.log_event('hold', v_guard.task, null, jsonb_build_object('guard', p_guard, 'reason', v_reason));
    elsif v_state <> 'hold' and v_last.state = 'hold' then
        perform backfill.log_event('hold_over', v_guard.task, null, jsonb_strip_nulls(jsonb_build_object(
            'guard', p_guard, 'value', p_value, 'error', left(p_error, 300), 'held_s', round(extract(epoch from v_now - v_last.since)))));
    end if;
    return v_state;
end $$;
comment on function backfill.note_guard(text, numeric, text, text, interval) is
    'Takes down what a guard measured, or why it could not, and what follows: clear, slow or hold. Leaves an event where it begins to hold and where that is over. Called by evaluate_guard().';

create function backfill.evaluate_guard(p_guard text)
returns text language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_guard backfill.guard;
    v_value numeric;
    v_detail text;
    v_error text;
    v_said jsonb;
    v_began timestamptz := clock_timestamp();
    v_last record;
begin
    select * into v_guard from backfill.guard g where g.name = p_guard;
    if not found then
        return null;
    end if;
    begin
        if v_guard.kind <> 'sql' then
            select m.value, m.detail into v_value, v_detail from backfill.measure_guard(p_guard) m;
        elsif v_guard.run_as <> session_user or v_guard.run_as <> current_user then
            select r.state, r.evaluated_at into v_last from backfill.guard_reading r where r.guard = p_guard;
            if v_last.evaluated_at > v_began - v_guard.every * 2 then
                return v_last.state;
            end if;
            raise exception 'its query is evaluated in sessions of % only, and none works for it', v_guard.run_as;
        else
            begin
                -- as discover() does with a run's condition
                set local transaction_read_only = on;
                execute 'select to_jsonb((' || v_guard.sql || chr(10) || '))' into v_said;
                raise exception using errcode = 'BF000', message = 'leave the read-only block';
            exception when sqlstate 'BF000' then null;
            end;
            if coalesce(jsonb_typeof(v_said), 'null') not in ('number', 'boolean') then
                raise exception 'its query gave no number but %', coalesce(nullif(left(v_said::text, 50), 'null'), 'nothing');
            end if;
            v_value := case v_said when 'true' then 1 when 'false' then 0 else (v_said #>> '{}')::numeric end;
        end if;
    exception
        when query_canceled then
            v_value := null;
            v_error := format('no answer within %s s', trim_scale(extract(epoch from v_guard.timeout)));
        when others then
            v_value := null;
            v_error := sqlerrm;
    end;
    return backfill.note_guard(p_guard, v_value, v_detail, v_error, clock_timestamp() - v_began);
end $$;
comment on function backfill.evaluate_guard(text) is
    'Measures a guard now and takes down what follows: clear, slow or hold; null: there is no such guard. Its timeout is the caller''s to set, as statement_timeout, before.';
