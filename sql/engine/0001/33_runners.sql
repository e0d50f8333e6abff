-- pgbackfill, engine: runners, their heartbeats and their rescue
--
-- A runner with a direct connection holds the session lock (runner_lock_space, its id) on the
-- connection of its heartbeats; the lock vanishes with the process. Behind a transaction pooler
-- there are no session locks, and the lease alone decides. The database's clock decides always.
--
-- Lock order: runner row, then job rows. claim() holds the runner row "for key share" and finish()
-- "for no key update", which get along with each other and with heartbeat(), and shut out leave()
-- and rescue(), which take it "for update": jobs are never given to, or finished by, a runner that
-- is being declared dead.

create function backfill.runner_lock_space()
returns integer language sql immutable as $$ select 1885823590 $$;
comment on function backfill.runner_lock_space() is 'First half of the advisory lock that marks a live runner; the second is its id.';

create function backfill.join_run(p_run bigint, p_task_version integer, p_host text, p_pid integer, p_direct boolean)
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_run backfill.run;
    v_id bigint;
begin
    select * into v_run from backfill.run where id = p_run for share;
    if not found then
        perform backfill.known_run(p_run);
    end if;
    if v_run.status = 'ended' then
        raise exception 'run % has ended (%)', p_run, v_run.exit_reason using errcode = 'BF004', hint = 'start another one: backfill run ' || v_run.task;
    end if;
    if v_run.where_sql is not null and v_run.requested_by <> session_user then
        raise exception 'run % has a condition of %''s, which is not evaluated with the rights of %', p_run, v_run.requested_by, session_user
            using errcode = 'BF005', hint = format('let processes of %s work for it, or start a run of your own', v_run.requested_by);
    end if;
    insert into backfill.runner (run_id, task, task_version, host, pid, direct)
    values (p_run, v_run.task, p_task_version, p_host, p_pid, p_direct) returning id into v_id;
    return v_id;
end $$;
comment on function backfill.join_run(bigint, integer, text, integer, boolean) is 'Registers a process with a live run and returns its runner id.';

create function backfill.heartbeat(p_runner bigint, p_note text default null)
returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_status text;
begin
    update backfill.runner r set heartbeat_at = clock_timestamp(), note = p_note
     where r.id = p_runner and r.status = 'live' returning r.status into v_status;
    return coalesce(v_status, 'lost');
end $$;
comment on function backfill.heartbeat(bigint, text) is 'Sign of life, with what the process waits for; returns live, or lost where it was presumed dead meanwhile.';

create function backfill.leave(p_runner bigint, p_reason text)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_run bigint;
begin
    perform from backfill.runner r where r.id = p_runner for update;
    perform backfill.release(p_runner);
    update backfill.runner r set status = 'left', ended_at = clock_timestamp(), note = null
     where r.id = p_runner and r.status = 'live' returning r.run_id into v_run;
    if v_run is null then
        return;
    end if;
    -- of two that leave at the same moment, the second sees the first gone
    perform from backfill.run where id = v_run for update;
    if not exists (select from backfill.runner r where r.run_id = v_run and r.status = 'live') then
        perform backfill.end_run(v_run, p_reason);
    end if;
end $$;
comment on function backfill.leave(bigint, text) is 'A process says goodbye; jobs it still holds are handed back, and the last one ends the run for the reason given.';

create function backfill.rescue(p_grace interval default '3 seconds', out runner_id bigint, out jobs bigint)
returns setof record language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_runner backfill.runner;
    v_task backfill.task;
    v_lane bigint;
    v_run bigint;
    v_why text;
    v_failed bigint;
begin
    for v_runner in
        select r.* from backfill.runner r join backfill.task t on t.name = r.task
         where r.status = 'live' and r.heartbeat_at < clock_timestamp() - case when r.direct then least(p_grace, t.lease) else t.lease end
         order by r.id for update of r skip locked
    loop
        select * into strict v_task from backfill.task t where t.name = v_runner.task;
        if v_runner.heartbeat_at < clock_timestamp() - v_task.lease then
            v_why := format('its process (pid %s on %s) gave no sign of life for %s', v_runner.pid, v_runner.host, v_task.lease);
        elsif pg_try_advisory_xact_lock(backfill.runner_lock_space(), v_runner.id::integer) then
            v_why := format('its process (pid %s on %s) died', v_runner.pid, v_runner.host);
        else
            continue;
        end if;
        select case when r.status = 'ended' then 0 else r.lane end into strict v_lane from backfill.run r where r.id = v_runner.run_id;
        with orphan as materialized (
            select j.id from backfill.job j
             where j.task = v_runner.task and j.runner_id = v_runner.id and j.state = 'running'
               for update
        ), freed as (
            -- Only a job that was alone in its process is blamed for the crash; the others are
            -- orphans, to be tried alone.
            update backfill.job j
               set failures = j.failures + j.solo::integer,
                   state = case when j.solo and j.failures + 1 >= v_task.max_attempts then 'failed' else 'ready' end,
                   finished_at = case when j.solo and j.failures + 1 >= v_task.max_attempts then clock_timestamp() end,
                   runner_id = case when j.solo and j.failures + 1 >= v_task.max_attempts then j.runner_id end,
                   solo = not (j.solo and j.failures + 1 >= v_task.max_attempts),
                   lane = v_lane,
                   error_class = 'crashed', error_message = v_why || ' while it held this row'
              from orphan o where j.id = o.id
            returning j.id, j.key, j.attempt, j.state, j.error_class, j.error_message
        ), noted as (
            insert into backfill.attempt_error (job_id, task, key, attempt, run_id, runner_id, error_class, error_message, retry_at)
            select f.id, v_runner.task, f.key, f.attempt, v_runner.run_id, v_runner.id, f.error_class, f.error_message,
                   case when f.state = 'ready' then clock_timestamp() end from freed f
        )
        select count(*), count(*) filter (where f.state = 'failed') into jobs, v_failed from freed f;
        update backfill.runner r
           set status = 'lost', ended_at = clock_timestamp(), note = v_why, failed = r.failed + v_failed
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
comment on function backfill.rescue(interval) is
    'Gives back the jobs of processes that died: their session lock is gone and they were silent for the grace, or they were silent for the task''s lease. Ends runs that nobody works for. Every process calls it now and then; calling it more often does no harm.';
