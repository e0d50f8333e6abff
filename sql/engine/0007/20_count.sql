-- pgbackfill, engine: the limit for each group, and counts and previews that know of it

create function backfill.group_limit(p_task text, p_options jsonb, out limit_by text, out limit_each bigint)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_view regclass := to_regclass(format('backfill.%I', 'needs_' || p_task));
    v_each text := p_options ->> 'limit_each';
    v_by text := p_options ->> 'limit_by';
begin
    if v_by is null and v_each is null then
        return;
    end if;
    if v_by is null or v_each is null then
        raise exception 'a limit for each group needs both options, limit_by and limit_each'
            using errcode = 'BF009', hint = 'for example {"limit_by": "user_id", "limit_each": 10}';
    end if;
    if v_each !~ '^[1-9][0-9]{0,17}$' then
        raise exception 'the option limit_each should be a whole number above 0 and is %', quote_literal(left(v_each, 50)) using errcode = 'BF009';
    end if;
    if not exists (select from pg_attribute a where a.attrelid = v_view and a.attname = v_by and a.attnum > 0 and not a.attisdropped) then
        raise exception 'the view backfill.needs_% has no column % to limit by', p_task, quote_literal(left(v_by, 63))
            using errcode = 'BF009', hint = 'it has: ' || coalesce((
                select string_agg(a.attname, ', ' order by a.attnum) from pg_attribute a
                 where a.attrelid = v_view and a.attnum > 0 and not a.attisdropped), 'none');
    end if;
    limit_by := v_by;
    limit_each := v_each;
end $$;
comment on function backfill.group_limit(text, jsonb) is
    'What a run''s options say of a limit for each group: the column of the needs view and the rows for each of its values; nulls where they say nothing.';

drop function backfill.count_pending(text, text, boolean, integer);
create function backfill.count_pending(
    p_task text, p_where text default null, p_retry_failed boolean default false, p_cap integer default 50000, p_options jsonb default '{}',
    out pending bigint, out exact boolean, out unqueued bigint, out again bigint)
language plpgsql set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO, YMD' as $$
declare
    v_task backfill.task := backfill.known_task(p_task);
    v_limit record := backfill.group_limit(p_task, p_options);
    v_columns text := 'j.state' || case when v_limit.limit_by is null then '' else format(', n.native_key, n.%I::text as grp', v_limit.limit_by) end;
    v_query text := backfill.pending_sql(p_task, p_where, v_columns);
    v_seen bigint;
    v_plan json;
    v_total numeric;
    v_scale numeric;
begin
    begin
        -- A condition of the caller's is evaluated where the database itself refuses any write;
        -- leaving by an exception gives the transaction its writes back.
        set local transaction_read_only = on;
        execute format('select count(*), count(*) filter (where s.place <= $5), count(*) filter (where s.place <= $5 and s.state is distinct from ''ready''), '
                       'count(*) filter (where s.place <= $5 and s.state <> ''ready'') from (select p.state, %s as place from (%s limit $4) p) s',
                       case when v_limit.limit_by is null then '0' else 'row_number() over (partition by p.grp order by p.native_key)' end, v_query)
            into v_seen, pending, unqueued, again using p_task, v_task.version, p_retry_failed, p_cap + 1, coalesce(v_limit.limit_each, 0);
        exact := v_seen <= p_cap;
        if not exact then
            execute 'explain (format json) ' || v_query into v_plan using p_task, v_task.version, p_retry_failed;
            v_total := (v_plan -> 0 -> 'Plan' ->> 'Plan Rows')::numeric;
            -- Of an outer join with a table of jobs that is empty yet the planner takes next to nothing to be
            -- without a match. Of the view itself it knows more: less what is finished and in it all the same.
            execute format('explain (format json) select from backfill.%I where (%s' || chr(10) || ')',
                           'needs_' || p_task, coalesce(nullif(btrim(p_where), ''), 'true')) into v_plan;
            select greatest(v_total, (v_plan -> 0 -> 'Plan' ->> 'Plan Rows')::numeric - sum(f.finished)) into v_total
              from (select y.nothing_found + y.skipped + y.failed as finished from backfill.tally y where y.task = p_task
                    union all
                    select w.nothing_found + w.skipped + w.failed from backfill.runner w where w.task = p_task) f;
            if v_limit.limit_by is not null then
                execute format('explain (format json) select distinct p.grp from (%s) p', v_query) into v_plan using p_task, v_task.version, p_retry_failed;
                v_total := least(v_total, (v_plan -> 0 -> 'Plan' ->> 'Plan Rows')::numeric * v_limit.limit_each);
            end if;
            v_scale := greatest(v_total / pending, 1);
            pending := pending * v_scale;
            unqueued := unqueued * v_scale;
            again := again * v_scale;
        end if;
        raise exception using errcode = 'BF000', message = 'leave the read-only block';
    exception when sqlstate 'BF000' then null;
    end;
end $$;
comment on function backfill.count_pending(text, text, boolean, integer, jsonb) is
    'Rows that a run with these options would take: counted up to the cap, beyond it the planner''s estimate (exact = false); of these, rows that are not enqueued yet, and rows that were finished before. Of the options it is limit_by and limit_each that matter. Writes nothing, whatever the condition says.';

drop function backfill.preview(text, text, boolean, integer);
create function backfill.preview(
    p_task text, p_where text default null, p_retry_failed boolean default false, p_limit integer default 5, p_options jsonb default '{}')
returns table (key text, input jsonb)
language plpgsql set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO, YMD' as $$
declare
    v_task backfill.task := backfill.known_task(p_task);
    v_limit record := backfill.group_limit(p_task, p_options);
begin
    begin
        set local transaction_read_only = on;
        -- the first rows are no more of any group than there are in all
        if v_limit.limit_by is null or p_limit <= v_limit.limit_each then
            return query execute format(
                'select p.key, to_jsonb(p) - ''native_key'' from (%s) p order by p.native_key limit $4',
                backfill.pending_sql(p_task, p_where))
                using p_task, v_task.version, p_retry_failed, p_limit;
        else
            return query execute format(
                'select s.key, to_jsonb(s.whole) - ''native_key'' from ('
                'select p.key, p.native_key, p as whole, row_number() over (partition by p.%I::text order by p.native_key) as place '
                'from (%s order by n.native_key limit greatest($4, 10000)) p) s '
                'where s.place <= $5 order by s.native_key limit $4',
                v_limit.limit_by, backfill.pending_sql(p_task, p_where))
                using p_task, v_task.version, p_retry_failed, p_limit, v_limit.limit_each;
        end if;
        raise exception using errcode = 'BF000', message = 'leave the read-only block';
    exception when sqlstate 'BF000' then null;
    end;
end $$;
comment on function backfill.preview(text, text, boolean, integer, jsonb) is
    'The first rows that a run with these options would take, as the computation would get them; with a limit for each group they are looked for among the first 10,000. Writes nothing, whatever the condition says.';
