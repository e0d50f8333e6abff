-- pgbackfill, engine: discover
--
-- A sweep reads the needs view in order of its native key, a chunk a call, up to the greatest key
-- that there was when it began, and enqueues what it finds. One process sweeps at a time; the
-- others are told 'busy' and go on claiming.
--
-- The view is read with the caller's rights in a read-only block, since a run's condition is the
-- caller's SQL; only sweep_open() and enqueue() write, with their owner's rights. A condition is
-- never evaluated with anybody's rights but its author's. Keys are read and written as text under
-- one time zone and date style, or the same key would be two jobs.
--
-- Lock order: sweep row, then job rows in order of id (skip locked), then tally row.

create function backfill.native_type(p_task text)
returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_type text;
begin
    select format_type(a.atttypid, a.atttypmod) into v_type
      from pg_attribute a
     where a.attrelid = to_regclass(format('backfill.%I', 'needs_' || p_task)) and a.attname = 'native_key' and a.attnum > 0;
    if v_type is null then
        raise exception 'the view backfill.needs_% is missing or has no column native_key', p_task
            using errcode = 'BF003', hint = 'create it, or run: backfill migrate ' || p_task;
    end if;
    return v_type;
end $$;
comment on function backfill.native_type(text) is 'SQL type of the needs view''s native_key.';

create function backfill.sweep_open(p_run bigint, out state text, out reached text, out high text, out fresh boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_run backfill.run := backfill.known_run(p_run);
    v_sweep backfill.sweep;
begin
    if v_run.status = 'ended' then
        state := 'ended';
        return;
    end if;
    select * into v_sweep from backfill.sweep s
     where s.task = v_run.task and s.lane = v_run.lane for update skip locked;
    if not found then
        state := 'busy';
        return;
    end if;
    -- Rows that came to need work behind a sweep's position belong to the next one, so a run is
    -- done with a sweep that began after the run itself did.
    if v_sweep.ended_at is not null and v_sweep.began_at >= v_run.started_at then
        state := 'ended';
        return;
    end if;
    fresh := v_sweep.began_at is null or v_sweep.ended_at is not null;
    if fresh then
        update backfill.sweep s
           set reached = null, high = null, scanned = 0, enqueued = 0, began_at = clock_timestamp(), ended_at = null
         where s.task = v_run.task and s.lane = v_run.lane;
    else
        reached := v_sweep.reached;
        high := v_sweep.high;
    end if;
    if v_sweep.counted_by is null or v_sweep.counted_by < p_run then
        update backfill.sweep s
           set counted_by = p_run, to_come = v_run.found_new, again = v_run.found_again
         where s.task = v_run.task and s.lane = v_run.lane;
    end if;
    state := 'open';
end $$;
comment on function backfill.sweep_open(bigint) is 'Locks the run''s sweep until the transaction ends, beginning a new one where the last is over: open, busy (another process has it) or ended. Called by discover().';

create function backfill.enqueue(
    p_run bigint, p_keys text[], p_revisions text[], p_again text[], p_again_revisions text[],
    p_looked_at timestamptz, p_reached text, p_high text, p_over boolean)
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_run backfill.run := backfill.known_run(p_run);
    v_version integer;
    v_new bigint;
    v_last bigint;
    v_again bigint := 0;
    v_moved bigint := 0;
begin
    select version into strict v_version from backfill.task where name = v_run.task;

    with added as (
        insert into backfill.job (task, key, revision, task_version, lane)
        select v_run.task, u.key, u.revision, v_version, v_run.lane
          from unnest(p_keys, p_revisions) with ordinality as u (key, revision, place)
         -- to try and insert a job that is there would wait for whoever is at work on it
         where not exists (select from backfill.job j where j.task = v_run.task and j.key = u.key)
         order by u.place
        on conflict (task, key) do nothing
        returning id
    )
    select count(*), max(id) into v_new, v_last from added;

    -- A lane takes over what is waiting in the common one. Any sweep takes over what was handed
    -- back to a lane at the very moment that its run ended.
    if v_run.lane <> 0 or exists (select from backfill.run r where r.task = v_run.task and r.lane <> 0) then
        with chosen as materialized (
            select j.id from backfill.job j
             where j.task = v_run.task and j.key = any (p_keys) and j.state = 'ready' and j.lane <> v_run.lane
               and backfill.open_lane(j.lane) = 0
             order by j.id for update skip locked
        ), moved as (
            update backfill.job j set lane = v_run.lane from chosen c where j.id = c.id
            returning j.id
        )
        select count(*), greatest(v_last, max(id)) into v_moved, v_last from moved;
    end if;

    if cardinality(p_again) > 0 then
        with chosen as materialized (
            select j.id, j.state as former, u.revision
              from unnest(p_again, p_again_revisions) as u (key, revision)
              join backfill.job j on j.task = v_run.task and j.key = u.key
             where j.finished_at < p_looked_at
               and backfill.needs_again(j.state, j.error_class, j.revision, j.task_version, u.revision, v_version,
                                        v_run.retry_failed and j.finished_at < v_run.started_at)
             order by j.id for update of j skip locked
        ), reopened as (
            update backfill.job j
               set state = 'ready', failures = 0, run_id = null, runner_id = null, finished_at = null,
                   error_class = null, error_message = null, revision = c.revision, task_version = v_version,
                   enqueued_at = now(), lane = v_run.lane, run_after = clock_timestamp()
              from chosen c
             where j.id = c.id
            returning c.former
        ), corrected as (
            update backfill.tally t
               set ok = t.ok - s.ok, nothing_found = t.nothing_found - s.nothing_found,
                   skipped = t.skipped - s.skipped, failed = t.failed - s.failed
              from (select count(*) filter (where former = 'ok') as ok,
                           count(*) filter (where former = 'nothing_found') as nothing_found,
                           count(*) filter (where former = 'skipped') as skipped,
                           count(*) filter (where former = 'failed') as failed
                      from reopened) s
             where t.task = v_run.task
        )
        select count(*) into v_again from reopened;
    end if;

    update backfill.sweep
       set reached = coalesce(p_reached, reached), high = p_high,
           scanned = scanned + cardinality(p_keys), enqueued = enqueued + v_new + v_again,
           last_job_id = greatest(last_job_id, v_last),
           to_come = greatest(to_come - v_new - v_again, 0),
           again = least(greatest(again - v_again, 0), greatest(to_come - v_new - v_again, 0)),
           ended_at = case when p_over then clock_timestamp() end
     where task = v_run.task and lane = v_run.lane;
    -- After a sweep that began later than the count, nothing of the count is still to come.
    update backfill.sweep s set to_come = 0, again = 0
     where s.task = v_run.task and s.lane = v_run.lane and p_over and s.to_come > 0
       and not exists (select from backfill.run r where r.id = s.counted_by and r.started_at > s.began_at);
    return v_new + v_moved + v_again;
end $$;
comment on function backfill.enqueue(bigint, text[], text[], text[], text[], timestamptz, text, text, boolean) is
    'Writes a chunk of a sweep: new jobs, finished jobs to be done again, the sweep''s position. Called by discover() under the sweep''s lock.';

create function backfill.discover(p_run bigint, p_chunk integer default 1000, out state text, out enqueued bigint)
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
                'select coalesce(array_agg(s.key order by s.native_key), ''{}''), coalesce(array_agg(s.revision order by s.native_key), ''{}'') '
                'from (select n.key, n.revision, n.native_key from %1$s '
                'where n.native_key <= $1::%2$s %3$s order by n.native_key limit $3) s',
                v_source, v_type, case when v_sweep.reached is null then '' else format('and n.native_key > $2::%s', v_type) end)
                into v_keys, v_revisions using v_high, v_sweep.reached, p_chunk;
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
    enqueued := backfill.enqueue(p_run, v_keys, v_revisions, v_again, v_again_revisions, v_looked_at,
                                 v_keys[cardinality(v_keys)], v_high, cardinality(v_keys) < p_chunk);
end $$;
comment on function backfill.discover(bigint, integer) is
    'Reads the next chunk of the needs view and enqueues it. state: open (there may be more), busy (another process is at it) or ended (a whole sweep was made since the run began).';
