-- pgbackfill, engine: rows that an estimate is made by
--
-- The first rows alone would not do: where a run was stopped by a budget, just these are begun.

create function backfill.sample(
    p_task text, p_where text default null, p_retry_failed boolean default false, p_rows integer default 12, p_among bigint default 50000)
returns table (key text, input jsonb)
language plpgsql set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO, YMD' as $$
declare
    v_task backfill.task := backfill.known_task(p_task);
    v_keys text[];
begin
    begin
        set local transaction_read_only = on;
        -- keys first, since a row's other columns may cost much
        execute format(
            'select array_agg(s.native_key::text) from ('
            'select p.native_key, row_number() over (order by p.native_key) - 1 as place, count(*) over () as total '
            'from (%s order by n.native_key limit $5) p) s where s.place * $4 %% s.total < $4',
            backfill.pending_sql(p_task, p_where, 'n.native_key'))
            into v_keys using p_task, v_task.version, p_retry_failed, p_rows::bigint, p_among;
        return query execute format(
            'select n.key, to_jsonb(n) - ''native_key'' from backfill.%I n '
            'where n.native_key = any (array(select u.key::%s from unnest($1) as u (key))) order by n.native_key',
            'needs_' || p_task, backfill.native_type(p_task))
            using v_keys;
        raise exception using errcode = 'BF000', message = 'leave the read-only block';
    exception when sqlstate 'BF000' then null;
    end;
end $$;
comment on function backfill.sample(text, text, boolean, integer, bigint) is
    'Rows spread evenly over the first so many that a run would take, as the computation would get them. Writes nothing, whatever the condition says.';
