-- pgbackfill, engine: a process that is slow does not take itself for dead
--
-- rescue() as it was, but that it leaves the runner alone whose lock is held by the session that calls it.

create or replace function backfill.rescue(p_grace interval default '3 seconds', out runner_id bigint, out jobs bigint)
returns setof record language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_runner backfill.runner;
    v_task backfill.task;
    v_lane bigint;
    v_run bigint;
    v_why text;
    v_failed jsonb;
begin
    for v_runner in
        select r.* from backfill.runner r join backfill.task t on t.name = r.task
         where r.status = 'live' and r.heartbeat_at < clock_timestamp() - case when r.direct then least(p_grace, t.lease) else t.lease end
         order by r.id for update of r skip locked
    loop
        select * into strict v_task from backfill.task t where t.name = v_runner.task;
        -- Who holds the runner's lock is this very session: its process is alive, though it was slow. A try to
        -- take the lock would succeed.
        if exists (select from pg_locks l
                    where l.pid = pg_backend_pid() and l.granted and l.locktype = 'advisory'
                      and l.classid::bigint = backfill.runner_lock_space() and l.objid::bigint = v_runner.id) then
            continue;
        end if;
        if v_runner.heartbeat_at < clock_timestamp() - v_task.lease then
            v_why := format('its process (pid %s on %s) gave no sign of life for %s', v_runner.pid, v_runner.host, v_task.lease);
        elsif pg_try_advisory_xact_lock(backfill.runner_lock_space(), v_runner.id::integer) then
            v_why := format('its process (pid %s on %s) died', v_runner.pid, v_runner.host);
        else
            continue;
        end if;
        select case when r.status = 'ended' then 0 else r.lane end into strict v_lane from backfill.run r where r.id = v_runner.run_id;
        with orphan as materialized (
            select j.id, j.failures, j.solo and j.suspects = 1 as alone from backfill.job j
             where j.task = v_runner.task and j.runner_id = v_runner.id and j.state = 'running'
               for update
        ), held as (
            select count(*)::integer as orphans from orphan
        ), verdict as (
            -- Several jobs that were each to be tried alone are held at once where the reply to a claim
            -- was lost; then none is blamed.
            select o.id, b.blamed, b.blamed and o.failures + 1 >= v_task.max_attempts as failed, greatest(h.orphans / 2, 1) as suspects
              from orphan o
             cross join held h
             cross join lateral (select o.alone and h.orphans = 1 as blamed) b
        ), freed as (
            update backfill.job j
               set failures = j.failures + v.blamed::integer,
                   state = case when v.failed then 'failed' else 'ready' end,
                   finished_at = case when v.failed then clock_timestamp() end,
                   runner_id = case when v.failed then j.runner_id end,
                   solo = not v.failed,
                   suspects = case when v.failed then 1 else v.suspects end,
                   lane = v_lane,
                   error_class = 'crashed', error_message = v_why || ' while it held this row'
              from verdict v where j.id = v.id
            returning j.id, j.key, j.revision, j.attempt, j.state, j.error_class, j.error_message
        ), noted as (
            insert into backfill.attempt_error (job_id, task, key, attempt, run_id, runner_id, error_class, error_message, retry_at)
            select f.id, v_runner.task, f.key, f.attempt, v_runner.run_id, v_runner.id, f.error_class, f.error_message,
                   case when f.state = 'ready' then clock_timestamp() end from freed f
        )
        select count(*),
               jsonb_agg(jsonb_build_object('key', f.key, 'revision', f.revision, 'error_class', f.error_class, 'error_message', f.error_message) order by f.key)
                   filter (where f.state = 'failed')
          into jobs, v_failed from freed f;
        if v_failed is not null then
            perform backfill.tell_failed(v_runner.task, v_failed);
        end if;
        update backfill.runner r
           set status = 'lost', ended_at = clock_timestamp(), note = v_why, failed = r.failed + coalesce(jsonb_array_length(v_failed), 0)
         where r.id = v_runner.id;
        runner_id := v_runner.id;
        perform backfill.log_event('lost', v_runner.task, v_runner.run_id,
            jsonb_build_object('runner', v_runner.id, 'pid', v_runner.pid, 'host', v_runner.host, 'jobs', jobs, 'why', v_why));
        return next;
    end loop;
    -- A run that nobody works for any more, not even a process that is being started anew, is over.
    for v_run in
        select r.id from backfill.run r join backfill.task t on t.name = r.task
         where r.status <> 'ended'
           and exists (select from backfill.runner w where w.run_id = r.id)
           and not exists (select from backfill.runner w where w.run_id = r.id
                            and (w.status = 'live' or w.ended_at > clock_timestamp() - least(t.lease, interval '10 seconds')))
         order by r.id for update of r skip locked
    loop
        -- seen anew under the run's lock, which a process that joins takes too
        if not exists (select from backfill.runner w where w.run_id = v_run and w.status = 'live') then
            perform backfill.end_run(v_run, 'lost');
        end if;
    end loop;
end $$;
