-- pgbackfill, engine: what an operator sets of guards, and what he sees of them

create function backfill.guard_was_set() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'DELETE' then
        perform backfill.log_event('drop_guard', old.task, null, jsonb_build_object('guard', old.name));
    elsif tg_op = 'INSERT' then
        insert into backfill.guard_reading (guard) values (new.name);
        perform backfill.log_event('set_guard', new.task, null, jsonb_build_object('guard', new.name) || jsonb_strip_nulls(to_jsonb(new) - 'name' - 'task'));
    elsif new is distinct from old then
        -- what was begun under other thresholds is judged anew
        update backfill.guard_reading r set level = 'clear', due_at = clock_timestamp() where r.guard = new.name;
        perform backfill.log_event('set_guard', new.task, null, jsonb_build_object('guard', new.name) || (
            select jsonb_object_agg(n.key, jsonb_build_object('from', o.value, 'to', n.value))
              from jsonb_each(to_jsonb(old)) o join jsonb_each(to_jsonb(new)) n using (key)
             where o.value is distinct from n.value));
    end if;
    return null;
end $$;
comment on function backfill.guard_was_set() is 'Puts a guard that was set or dropped into the audit, and lets it be evaluated at the next claim.';
create trigger guard_is_set after insert or update or delete on backfill.guard
    for each row execute function backfill.guard_was_set();
comment on trigger guard_is_set on backfill.guard is 'However a guard is set, it leaves its event and holds from the next claim on.';

create function backfill.set_guard(
    p_name text, p_kind text default null, p_hold_above numeric default null, p_slow_above numeric default null,
    p_clear_below numeric default null, p_task text default null, p_subject text default null, p_sql text default null,
    p_slow_by numeric default null, p_every interval default null, p_timeout interval default null,
    p_on_failure text default null, p_run_as text default null)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    -- who acts, also where the session has taken on another role
    v_actor text := coalesce(nullif(current_setting('role'), 'none'), session_user);
    v_old backfill.guard;
    v_run_as text;
begin
    select * into v_old from backfill.guard g where g.name = p_name for update;
    if p_task is not null then
        perform backfill.known_task(p_task);
    end if;
    if v_old.name is null and p_kind is null then
        raise exception 'there is no guard named %', quote_literal(p_name)
            using errcode = 'BF010', hint = format('a new one needs a kind: select backfill.set_guard(%L, ''replication_lag'', p_hold_above => 30)', p_name);
    end if;
    if v_old.kind <> p_kind then
        raise exception 'guard % is of kind %, which stays', p_name, v_old.kind
            using errcode = 'BF010', hint = format('drop it first: select backfill.drop_guard(%L)', p_name);
    end if;
    -- Somebody else's query is never evaluated with the rights that were meant for the one before.
    v_run_as := coalesce(p_run_as, case when p_sql is null then v_old.run_as end, v_actor);
    if (p_sql is not null or v_run_as is distinct from v_old.run_as)
       and not coalesce((select pg_has_role(v_actor, r.oid, 'usage') from pg_roles r where r.rolname = v_run_as), false) then
        raise exception '% may not have a query evaluated with the rights of %', v_actor, v_run_as
            using errcode = 'insufficient_privilege', hint = 'who has that role may: its members, or a superuser';
    end if;
    insert into backfill.guard (name, kind, task, subject, sql, slow_above, hold_above, clear_below, slow_by, every, timeout, on_failure, run_as)
    values (p_name, coalesce(v_old.kind, p_kind), coalesce(p_task, v_old.task), coalesce(p_subject, v_old.subject), coalesce(p_sql, v_old.sql),
            coalesce(p_slow_above, v_old.slow_above), coalesce(p_hold_above, v_old.hold_above), coalesce(p_clear_below, v_old.clear_below),
            coalesce(p_slow_by, v_old.slow_by, 4), coalesce(p_every, v_old.every, '5 seconds'), coalesce(p_timeout, v_old.timeout, '2 seconds'),
            coalesce(p_on_failure, v_old.on_failure, 'hold'), v_run_as)
    on conflict (name) do update
       set task = excluded.task, subject = excluded.subject, sql = excluded.sql, slow_above = excluded.slow_above,
           hold_above = excluded.hold_above, clear_below = excluded.clear_below, slow_by = excluded.slow_by,
           every = excluded.every, timeout = excluded.timeout, on_failure = excluded.on_failure, run_as = excluded.run_as;
end $$;
comment on function backfill.set_guard(text, text, numeric, numeric, numeric, text, text, text, numeric, interval, interval, text, text) is
    'Sets a guard, a new one or one that is there; what is null stays as it is. Holds from the next claim of every process on. See the table guard for what each setting means.';

create function backfill.drop_guard(p_name text)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from backfill.guard g where g.name = p_name;
    if not found then
        raise exception 'there is no guard named %', quote_literal(p_name)
            using errcode = 'BF010', hint = 'there are: ' || coalesce((select string_agg(g.name, ', ' order by g.name) from backfill.guard g), 'none');
    end if;
end $$;
comment on function backfill.drop_guard(text) is 'Takes a guard away; what it held goes on.';

create view backfill.guards as
select g.name, g.kind, g.task, g.subject, case when r.evaluated_at is null then 'unknown' else r.state end as state, r.reason,
       r.value, backfill.guard_amount(g.kind, r.value) as amount, r.detail, r.error, g.slow_above, g.hold_above, g.clear_below, g.slow_by, r.since, r.evaluated_at,
       clock_timestamp() - r.evaluated_at as age, g.every, g.timeout, g.on_failure, g.sql, case when g.kind = 'sql' then g.run_as end as run_as
  from backfill.guard g
  join backfill.guard_reading r on r.guard = g.name;
comment on view backfill.guards is 'Every guard: what it measured last, what it does and why. Guards are measured while processes work, and at other times not.';
comment on column backfill.guards.name is 'Its name.';
comment on column backfill.guards.kind is 'What is measured.';
comment on column backfill.guards.task is 'The task that it holds for; null: all.';
comment on column backfill.guards.subject is 'The replica or the table; null: the slowest replica, or the task''s table.';
comment on column backfill.guards.state is 'clear, slow, hold, or unknown: not measured yet.';
comment on column backfill.guards.reason is 'Why it slows or holds, in words.';
comment on column backfill.guards.value is 'What was measured last: seconds, bytes, bytes a second, or a number.';
comment on column backfill.guards.amount is 'The same with its unit.';
comment on column backfill.guards.detail is 'Of which replica, transaction or table.';
comment on column backfill.guards.error is 'Why it could not be measured; null: it could.';
comment on column backfill.guards.slow_above is 'Above this, processes slow down.';
comment on column backfill.guards.hold_above is 'Above this, no jobs are handed out.';
comment on column backfill.guards.clear_below is 'What it has begun it keeps up until the value is not above this.';
comment on column backfill.guards.slow_by is 'How many times slower processes are while it slows them.';
comment on column backfill.guards.since is 'Since when it is in this state.';
comment on column backfill.guards.evaluated_at is 'When it was measured last.';
comment on column backfill.guards.age is 'How long ago that is.';
comment on column backfill.guards.every is 'It is not measured more often than this.';
comment on column backfill.guards.timeout is 'Longest that measuring may take.';
comment on column backfill.guards.on_failure is 'What it does while it can''t be measured: hold or pass.';
comment on column backfill.guards.sql is 'Its query.';
comment on column backfill.guards.run_as is 'In whose sessions, and with whose rights, the query is evaluated.';
