-- pgbackfill, engine: what keeps served runs going, whatever dies
--
-- serve() is called by every worker every few seconds and by nobody in particular: it gives seats of workers
-- that are silent to others, puts seats into the queue that are missing there, and has a run for the new rows
-- of each watched task.

create function backfill.serve_space()
returns integer language sql immutable as $$ select 1885823592 $$;
comment on function backfill.serve_space() is 'Advisory lock of whoever is at serve(); its second half is 0.';

create function backfill.serve(out lost integer, out queued integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_one record;
begin
    lost := 0;
    queued := 0;
    if not pg_try_advisory_xact_lock(backfill.serve_space(), 0) then
        return;
    end if;

    for v_one in
        select i.task from backfill.input i
         where i.watched_since is not null and not exists (select from backfill.run r where r.task = i.task and r.standing and r.status <> 'ended')
         group by i.task
    loop
        insert into backfill.run (task, source, seats, standing) values (v_one.task, 'watch', 1, true)
            on conflict do nothing;
    end loop;
    for v_one in
        select r.id from backfill.run r
         where r.standing and r.status = 'running'
           and not exists (select from backfill.input i where i.task = r.task and i.watched_since is not null)
    loop
        perform backfill.cancel(v_one.id);
    end loop;

    -- a server that was away has heard from nobody
    for v_one in
        update backfill.worker w set status = 'lost', ended_at = clock_timestamp()
         where w.status = 'live' and w.heartbeat_at < clock_timestamp() - interval '10 seconds'
           and pg_postmaster_start_time() < clock_timestamp() - interval '10 seconds'
        returning w.id, w.host, w.pid
    loop
        lost := lost + 1;
        update backfill.seat s set worker_id = null, taken_at = null where s.worker_id = v_one.id;
        perform backfill.log_event('worker_lost', null, null, jsonb_build_object('worker', v_one.id, 'host', v_one.host, 'pid', v_one.pid));
    end loop;

    -- a run whose seats were all given up, though it has not ended
    insert into backfill.seat (run_id, seat)
    select r.id, 1 from backfill.run r
     where r.status = 'running' and r.seats is not null
       and not exists (select from backfill.seat s where s.run_id = r.id)
       and not exists (select from backfill.runner w where w.run_id = r.id and w.status = 'live')
        on conflict do nothing;

    -- jobs that nobody is at: whoever picked them died before he took the seat, or since
    delete from backfill.pgqueuer q using backfill.seat s
     where q.status = 'picked' and q.updated < clock_timestamp() - interval '5 seconds'
       and q.dedupe_key = format('run:%s:%s', s.run_id, s.seat) and s.worker_id is null;
    -- a task that was removed took its runs and their seats along
    delete from backfill.pgqueuer q
     where q.status = 'queued' and q.dedupe_key like 'run:%'
       and not exists (select from backfill.seat s where q.dedupe_key = format('run:%s:%s', s.run_id, s.seat));
    -- nobody needs a process that would wait
    delete from backfill.pgqueuer q using backfill.seat s, backfill.run r
     where r.id = s.run_id and q.status = 'queued' and q.dedupe_key = format('run:%s:%s', s.run_id, s.seat)
       and backfill.idle_reason(r) is not null;
    select count(*) filter (where backfill.enqueue_seat(x.run_id, x.seat)) into queued from (
        select s.run_id, s.seat from backfill.seat s join backfill.run r on r.id = s.run_id
         where s.worker_id is null and r.status = 'running' and backfill.idle_reason(r) is null
           and not exists (select from backfill.pgqueuer q
                            where q.dedupe_key = format('run:%s:%s', s.run_id, s.seat) and q.status in ('queued', 'picked'))
         order by s.seat, s.run_id) x;
end $$;
comment on function backfill.serve() is
    'Keeps served runs going: frees the seats of workers that were silent for 10 seconds, puts seats into the queue that are missing there, has a run for new rows of each watched task. Every worker calls it every few seconds; calling it more often does no harm.';

create function backfill.prune_queue()
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from backfill.pgqueuer_log l where l.created < clock_timestamp() - interval '1 day';
    delete from backfill.tick t where t.fired_at < clock_timestamp() - interval '30 days';
    delete from backfill.request_key k where k.at < clock_timestamp() - interval '24 hours';
    delete from backfill.worker w
     where w.status <> 'live' and w.ended_at < clock_timestamp() - interval '30 days'
       and not exists (select from backfill.seat s where s.worker_id = w.id);
end $$;
comment on function backfill.prune_queue() is 'Clears the queue''s log after a day, keys of requests after a day, ticks of schedules and workers that are gone after 30 days. Workers call it every ten minutes.';

create or replace function backfill.leave(p_runner bigint, p_reason text)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_run backfill.run;
    v_id bigint;
begin
    perform from backfill.runner r where r.id = p_runner for update;
    perform backfill.release(p_runner);
    update backfill.runner r set status = 'left', ended_at = clock_timestamp(), note = null
     where r.id = p_runner and r.status = 'live' returning r.run_id into v_id;
    if v_id is null then
        return;
    end if;
    -- of two that leave at the same moment, the second sees the first gone
    select * into v_run from backfill.run where id = v_id for update;
    if exists (select from backfill.runner r where r.run_id = v_id and r.status = 'live') then
        return;
    end if;
    -- A served run outlives its processes, which may have been asked to make room. Where one could not go on,
    -- its worker says so, and others may: see fail_run().
    if v_run.seats is not null and v_run.status = 'running'
       and (v_run.standing or p_reason in ('interrupted', 'yielded', 'paused', 'max_duration', 'error')) then
        return;
    end if;
    perform backfill.end_run(v_id, p_reason);
end $$;
comment on function backfill.leave(bigint, text) is
    'A process says goodbye; jobs it still holds are handed back, and the last one ends the run for the reason given. A run that workers serve goes on where its process was stopped, failed, or left since the task is paused; others will come.';

create or replace function backfill.rescue(p_grace interval default '3 seconds', out runner_id bigint, out jobs bigint)
returns setof record language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_runner backfill.runner;
    v_task backfill.task;
    v_lane bigint;
    v_run bigint;
    v_why text;
    v_failed jsonb;
    v_seq bigint;
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
        select coalesce(max(t.seq), 0) into v_seq from backfill.runner_recent t where t.runner_id = v_runner.id;
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
            insert into backfill.attempt_error (job_id, task, key, attempt, run_id, runner_id, number, error_class, error_message, retry_at)
            select f.id, v_runner.task, f.key, f.attempt, v_runner.run_id, v_runner.id, v_seq + row_number() over (order by f.id), f.error_class, f.error_message,
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
        if jobs > 0 then
            perform backfill.note_recent(v_runner.id, v_runner.task, jobs, '[]');
        end if;
        runner_id := v_runner.id;
        perform backfill.log_event('lost', v_runner.task, v_runner.run_id,
            jsonb_build_object('runner', v_runner.id, 'pid', v_runner.pid, 'host', v_runner.host, 'jobs', jobs, 'why', v_why));
        return next;
    end loop;
    -- A run that nobody works for any more, not even a process that is being started anew, is over.
    for v_run in
        select r.id from backfill.run r join backfill.task t on t.name = r.task
         where (r.status = 'cancelling' or (r.status = 'running' and r.seats is null))
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
