-- pgbackfill, engine: discover() for runs with a limit for each group
--
-- For all others it does what it did. Lock order: sweep row, its groups, job rows in order of id
-- (skip locked), then tally row.

create function backfill.enqueue_each(
    p_run bigint, p_keys text[], p_revisions text[], p_groups text[], p_again text[], p_again_revisions text[],
    p_looked_at timestamptz, p_reached text, p_high text, p_over boolean)
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_run backfill.run := backfill.known_run(p_run);
    v_version integer;
    v_tried text[] := '{}';
    v_enqueued bigint := 0;
    v_share record;
begin
    select version into strict v_version from backfill.task where name = v_run.task;
    -- Another run may be quicker at a row of the share, and then the next one has its place: so the
    -- chunk is gone through again until nothing is left of the shares or of the rows.
    loop
        with chunk as (
            select u.key, u.revision, u.place, case when length(u.grp) > 200 then md5(u.grp) else quote_nullable(u.grp) end as grp
              from unnest(p_keys, p_revisions, p_groups) with ordinality as u (key, revision, grp, place)
             where not exists (select from unnest(v_tried) as t (key) where t.key = u.key)
        ), wanted as (
            -- what enqueue() would add, move or reopen
            select c.*, a.key as again, a.revision as again_revision
              from chunk c
              left join unnest(p_again, p_again_revisions) as a (key, revision) on a.key = c.key
              left join backfill.job j on j.task = v_run.task and j.key = c.key
             where j.id is null
                or (j.state = 'ready' and j.lane <> v_run.lane and backfill.open_lane(j.lane) = 0)
                or (a.key is not null and j.finished_at < p_looked_at
                    and backfill.needs_again(j.state, j.error_class, j.revision, j.task_version, a.revision, v_version,
                                             v_run.retry_failed and j.finished_at < v_run.started_at))
        ), ranked as (
            select w.*, row_number() over (partition by w.grp order by w.place) <= v_run.limit_each - coalesce(g.taken, 0) as fits
              from wanted w
              left join backfill.sweep_group g on g.task = v_run.task and g.lane = v_run.lane and g.grp = w.grp
        )
        select array_agg(r.key order by r.place) filter (where r.fits) as keys,
               array_agg(r.revision order by r.place) filter (where r.fits) as revisions,
               array_agg(r.grp order by r.place) filter (where r.fits) as groups,
               coalesce(array_agg(r.again order by r.place) filter (where r.fits and r.again is not null), '{}') as again,
               coalesce(array_agg(r.again_revision order by r.place) filter (where r.fits and r.again is not null), '{}') as again_revisions,
               count(*) filter (where not r.fits) as beyond
          into v_share from ranked r;
        exit when v_share.keys is null;
        v_enqueued := v_enqueued + backfill.enqueue(
            p_run, v_share.keys, v_share.revisions, v_share.again, v_share.again_revisions, p_looked_at, null, p_high, false);
        insert into backfill.sweep_group as g (task, lane, grp, taken)
        select v_run.task, v_run.lane, u.grp, count(*)
          from unnest(v_share.keys, v_share.groups) as u (key, grp)
          join backfill.job j on j.task = v_run.task and j.key = u.key and j.lane = v_run.lane and j.state = 'ready'
         group by u.grp
        on conflict (task, lane, grp) do update set taken = g.taken + excluded.taken;
        v_tried := v_tried || v_share.keys;
    end loop;
    update backfill.sweep s
       set passed_over = s.passed_over + v_share.beyond, scanned = s.scanned + cardinality(p_keys) - cardinality(v_tried)
     where s.task = v_run.task and s.lane = v_run.lane;
    perform backfill.enqueue(p_run, '{}', '{}', '{}', '{}', p_looked_at, p_reached, p_high, p_over);
    return v_enqueued;
end $$;
comment on function backfill.enqueue_each(bigint, text[], text[], text[], text[], text[], timestamptz, text, text, boolean) is
    'Writes a chunk of a sweep as enqueue() does, but of each group no more than is left of its share. Called by discover() under the sweep''s lock.';

create or replace function backfill.discover(p_run bigint, p_chunk integer default 1000, out state text, out enqueued bigint)
language plpgsql set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO, YMD' as $$
declare
    v_run backfill.run := backfill.known_run(p_run);
    v_version integer;
    v_sweep record;
    v_type text;
    v_source text;
    v_high text;
    v_keys text[] := '{}';
    v_revisions text[] := '{}';
    v_groups text[] := '{}';
    v_again text[] := '{}';
    v_again_revisions text[] := '{}';
    v_looked_at timestamptz;
begin
    enqueued := 0;
    if v_run.where_sql is not null and v_run.requested_by <> session_user then
        raise exception 'run % has a condition of %''s, which is not evaluated with the rights of %', p_run, v_run.requested_by, session_user
            using errcode = 'BF005', hint = format('let processes of %s work for it, or start a run of your own', v_run.requested_by);
    end if;
    v_type := backfill.native_type(v_run.task);
    v_sweep := backfill.sweep_open(p_run);
    state := v_sweep.state;
    if state <> 'open' then
        return;
    end if;
    select version into strict v_version from backfill.task where name = v_run.task;
    v_source := format('(select * from backfill.%I where (%s' || chr(10) || ')) n',
                       'needs_' || v_run.task, coalesce(v_run.where_sql, 'true'));
    begin
        set local transaction_read_only = on;
        v_high := v_sweep.high;
        if v_sweep.fresh then
            execute format('select n.native_key::text from %s order by n.native_key desc limit 1', v_source) into v_high;
        end if;
        if v_high is not null then
            execute format(
                'select coalesce(array_agg(s.key order by s.native_key), ''{}''), coalesce(array_agg(s.revision order by s.native_key), ''{}''), %4$s '
                'from (select n.key, n.revision, n.native_key%5$s from %1$s '
                'where n.native_key <= $1::%2$s %3$s order by n.native_key limit $3) s',
                v_source, v_type, case when v_sweep.reached is null then '' else format('and n.native_key > $2::%s', v_type) end,
                case when v_run.limit_by is null then '''{}''::text[]' else 'coalesce(array_agg(s.grp order by s.native_key), ''{}'')' end,
                case when v_run.limit_by is null then '' else format(', n.%I::text as grp', v_run.limit_by) end)
                into v_keys, v_revisions, v_groups using v_high, v_sweep.reached, p_chunk;
        end if;
        -- Jobs that are finished although their row was read as needing work. A job and its result
        -- commit together, so a job that finished after the read above must be looked at again with
        -- a newer snapshot: this statement's own. What is still in the view now really needs work.
        v_looked_at := clock_timestamp();
        execute format(
            'select coalesce(array_agg(n.key), ''{}''), coalesce(array_agg(n.revision), ''{}'') '
            'from %s where n.native_key = any (array(select u.key::%s from unnest($1) as u (key)))', v_source, v_type)
            into v_again, v_again_revisions
            using array(select j.key from backfill.job j
                          join unnest(v_keys, v_revisions) as u (key, revision) on j.key = u.key
                         where j.task = v_run.task
                           and backfill.needs_again(j.state, j.error_class, j.revision, j.task_version, u.revision, v_version,
                                                    v_run.retry_failed and j.finished_at < v_run.started_at));
        raise exception using errcode = 'BF000', message = 'leave the read-only block';
    exception when sqlstate 'BF000' then null;
    end;
    if v_run.limit_by is null then
        enqueued := backfill.enqueue(p_run, v_keys, v_revisions, v_again, v_again_revisions, v_looked_at,
                                     v_keys[cardinality(v_keys)], v_high, cardinality(v_keys) < p_chunk);
    else
        enqueued := backfill.enqueue_each(p_run, v_keys, v_revisions, v_groups, v_again, v_again_revisions, v_looked_at,
                                          v_keys[cardinality(v_keys)], v_high, cardinality(v_keys) < p_chunk);
    end if;
end $$;
comment on function backfill.discover(bigint, integer) is
    'Reads the next chunk of the needs view and enqueues it, of each group no more than the run''s limit for each. state: open (there may be more), busy (another process is at it) or ended (a whole sweep was made since the run began).';
