-- pgbackfill, engine: what a DBA looks at
--
-- These views are the promise; the tables below them may change. None of them counts a big table:
-- finished work comes from the runners' counters, the rest from small partial indexes.

create view backfill.runs as
select r.id as run, r.task, r.status, r.exit_reason, r.requested_by, r.source, r.started_at, r.ended_at,
       coalesce(r.ended_at, clock_timestamp()) - r.started_at as elapsed,
       least(r.found, r.max_jobs) as found, r.found_exact,
       w.ok + w.nothing_found + w.skipped + w.failed as processed,
       w.ok, w.nothing_found, w.skipped, w.failed, w.retried,
       w.live as processes, w.lost as processes_lost, w.busy_ms, w.spend_usd,
       r.max_jobs, r.taken, r.where_sql
  from backfill.run r
 cross join lateral (
       select coalesce(sum(x.ok), 0)::bigint as ok, coalesce(sum(x.nothing_found), 0)::bigint as nothing_found,
              coalesce(sum(x.skipped), 0)::bigint as skipped, coalesce(sum(x.failed), 0)::bigint as failed,
              coalesce(sum(x.retried), 0)::bigint as retried, coalesce(sum(x.busy_ms), 0)::bigint as busy_ms,
              coalesce(sum(x.spend_usd), 0) as spend_usd,
              count(*) filter (where x.status = 'live') as live, count(*) filter (where x.status = 'lost') as lost
         from backfill.runner x where x.run_id = r.id) w;
comment on view backfill.runs is 'Every run with its numbers, which are the sums of its processes'' counters.';

create view backfill.throughput as
select t.name as task,
       coalesce(sum(m.finished) filter (where m.minute >= date_trunc('minute', clock_timestamp()) - interval '1 minute'
                                          and m.minute < date_trunc('minute', clock_timestamp())), 0)::bigint as last_minute,
       -- over the time since the first of these minutes began, so that a run of ten seconds shows its true rate
       round(coalesce(sum(m.finished) filter (where m.minute > clock_timestamp() - interval '5 minutes'), 0)
             / greatest(extract(epoch from clock_timestamp() - min(greatest(m.minute, r.started_at)) filter (where m.minute > clock_timestamp() - interval '5 minutes'))::numeric / 60, 1.0 / 60), 1) as per_minute,
       coalesce(sum(m.finished), 0)::bigint as last_hour,
       coalesce(sum(m.failed), 0)::bigint as failed_last_hour,
       round(sum(m.busy_ms)::numeric / nullif(sum(m.finished), 0), 1) as avg_ms
  from backfill.task t
  left join (backfill.runner_minute m join backfill.runner r on r.id = m.runner_id)
         on m.task = t.name and m.minute > clock_timestamp() - interval '1 hour'
 group by t.name;
comment on view backfill.throughput is 'Rows finished: in the last full minute, a minute on average over the last five, in the last hour; and the milliseconds one takes to compute.';

create view backfill.progress as
select t.name as task,
       case when t.paused_at is not null then 'paused' when w.live > 0 then 'running' else 'idle' end as state,
       n.done + n.unfinished as total,
       n.exact as total_exact,
       n.done, n.ok, n.nothing_found, n.skipped, n.failed, n.ready, n.running, n.unfinished as remaining,
       case when n.done + n.unfinished > 0 then round(100.0 * n.done / (n.done + n.unfinished), 1) end as percent,
       p.per_minute,
       case when w.live > 0 and p.per_minute > 0 and t.paused_at is null
            then make_interval(secs => round(n.unfinished * 60 / p.per_minute)::double precision) end as eta,
       w.live as processes,
       case when t.paused_at is not null then format('paused by %s', t.paused_by) || coalesce(': ' || t.paused_reason, '')
            when w.live = 0 and c.runs > 0 then 'no process works for the run that was started'
            when w.live = 0 and n.unfinished > 0 then 'no process is running'
            when w.live = 0 and not exists (select from backfill.sweep x where x.task = t.name and x.began_at is not null) then 'not run yet'
            when w.live = 0 then 'nothing to do'
            when w.working > 0 then null
            when w.waiting > 0 then w.note
            else format('no sign of life from %s for %s s; see backfill.stalled', case w.live when 1 then 'its process' else w.live || ' processes' end,
                        floor(extract(epoch from w.silent_for))) end as wait_reason
  from backfill.task t
  join backfill.tally y on y.task = t.name
  join backfill.throughput p on p.task = t.name
 cross join lateral (
       select count(*) filter (where r.status = 'live') as live,
              count(*) filter (where r.status = 'live' and r.note is null and r.heartbeat_at > clock_timestamp() - interval '10 seconds') as working,
              count(*) filter (where r.status = 'live' and r.note is not null and r.heartbeat_at > clock_timestamp() - interval '10 seconds') as waiting,
              min(r.note) filter (where r.status = 'live' and r.heartbeat_at > clock_timestamp() - interval '10 seconds') as note,
              min(clock_timestamp() - r.heartbeat_at) filter (where r.status = 'live') as silent_for,
              coalesce(sum(r.ok), 0)::bigint + y.ok as ok,
              coalesce(sum(r.nothing_found), 0)::bigint + y.nothing_found as nothing_found,
              coalesce(sum(r.skipped), 0)::bigint + y.skipped as skipped,
              coalesce(sum(r.failed), 0)::bigint + y.failed as failed
         from backfill.runner r where r.task = t.name) w
 cross join lateral (
       -- each of the three is an index of its own
       select (select count(*) from backfill.job j where j.task = t.name and j.state = 'ready' and j.run_after is null and not j.solo)
              + (select count(*) from backfill.job j where j.task = t.name and j.state = 'ready' and j.run_after is not null)
              + (select count(*) from backfill.job j where j.task = t.name and j.state = 'ready' and j.solo) as ready,
              (select count(*) from backfill.job j where j.task = t.name and j.state = 'running') as running,
              (select count(*) from backfill.run r where r.task = t.name and r.status <> 'ended') as runs) c
 cross join lateral (
       -- two sweeps at once may wait for the same row
       select coalesce(sum(s.to_come), 0)::bigint as to_come, coalesce(sum(s.again), 0)::bigint as again,
              coalesce(bool_and(r.found_exact), true) and count(*) < 2 as exact
         from backfill.sweep s left join backfill.run r on r.id = s.counted_by
        where s.task = t.name and s.to_come > 0) s
 cross join lateral (
       select w.ok, w.nothing_found, w.skipped, w.failed, c.ready, c.running, s.exact,
              greatest(w.ok + w.nothing_found + w.skipped + w.failed - s.again, 0) as done,
              c.ready + c.running + s.to_come as unfinished) n;
comment on view backfill.progress is 'One row a task: how far it is, how fast, when it will be done, and in wait_reason why nothing moves (null: it moves). total is exact where total_exact says so: what is known to need work since the last run began, rows that came later left out; else it is in part the planner''s estimate.';

create view backfill.running as
select j.task, j.key, j.attempt, j.solo as alone, w.host, w.pid, j.run_id as run, j.runner_id as runner,
       clock_timestamp() - j.claimed_at as held_for, clock_timestamp() - w.heartbeat_at as last_heartbeat
  from backfill.job j
  left join backfill.runner w on w.id = j.runner_id
 where j.state = 'running';
comment on view backfill.running is 'Jobs that a process holds now, and who.';

create view backfill.stalled as
select w.task, w.host, w.pid, w.run_id as run, w.id as runner,
       (select count(*) from backfill.job j where j.task = w.task and j.runner_id = w.id and j.state = 'running') as jobs_held,
       clock_timestamp() - w.heartbeat_at as silent_for,
       case when w.heartbeat_at < clock_timestamp() - t.lease
            then 'silent for longer than its lease; its jobs are given back by the next process that looks, or by: select * from backfill.rescue()'
            when not w.direct
            then format('silent; behind a pooler, so its jobs are given back after %s of silence', t.lease)
            else format('silent; its jobs are given back when its session is gone, at the latest after %s', t.lease) end as reason
  from backfill.runner w
  join backfill.task t on t.name = w.task
 where w.status = 'live' and w.heartbeat_at < clock_timestamp() - interval '10 seconds';
comment on view backfill.stalled is 'Processes that have given no sign of life for ten seconds, and what will become of their jobs.';

create view backfill.failures as
select j.task, j.key, j.error_class, j.error_message, j.attempt as attempts, j.finished_at as failed_at, j.run_id as run
  from backfill.job j
 where j.state = 'failed';
comment on view backfill.failures is 'Rows that failed for good, each with its reason. Taken up again by: select backfill.retry(task, error_class).';

create view backfill.failure_causes as
select f.task, f.error_class, count(*) as rows, min(f.key) as example_key, min(f.error_message) as example_message, max(f.failed_at) as last_failed_at
  from backfill.failures f
 group by f.task, f.error_class;
comment on view backfill.failure_causes is 'Failed rows by cause, with an example of each.';

-- what each column says
comment on column backfill.runs.run is 'The run''s number.';
comment on column backfill.runs.task is 'Its task.';
comment on column backfill.runs.status is 'running, cancelling or ended.';
comment on column backfill.runs.exit_reason is 'Why it ended.';
comment on column backfill.runs.requested_by is 'Who started it.';
comment on column backfill.runs.source is 'From where.';
comment on column backfill.runs.started_at is 'When it started.';
comment on column backfill.runs.ended_at is 'When it ended.';
comment on column backfill.runs.elapsed is 'How long it has lasted.';
comment on column backfill.runs.found is 'Rows it set out to do, its limit considered.';
comment on column backfill.runs.found_exact is 'Whether found was counted or estimated.';
comment on column backfill.runs.processed is 'Rows finished by it.';
comment on column backfill.runs.ok is 'Finished with a result.';
comment on column backfill.runs.nothing_found is 'Finished without anything to find.';
comment on column backfill.runs.skipped is 'No subjects after all.';
comment on column backfill.runs.failed is 'Failed for good.';
comment on column backfill.runs.retried is 'Failed attempts that were tried again.';
comment on column backfill.runs.processes is 'Processes working for it now.';
comment on column backfill.runs.processes_lost is 'Processes of it that died.';
comment on column backfill.runs.busy_ms is 'Milliseconds spent computing.';
comment on column backfill.runs.spend_usd is 'Cost of its paid calls.';
comment on column backfill.runs.max_jobs is 'Its limit.';
comment on column backfill.runs.taken is 'How much of its limit is taken.';
comment on column backfill.runs.where_sql is 'Its condition.';
comment on column backfill.throughput.task is 'The task.';
comment on column backfill.throughput.last_minute is 'Rows finished in the last full minute.';
comment on column backfill.throughput.per_minute is 'Rows a minute, on average over up to five minutes.';
comment on column backfill.throughput.last_hour is 'Rows finished in the last hour.';
comment on column backfill.throughput.failed_last_hour is 'Rows failed in the last hour.';
comment on column backfill.throughput.avg_ms is 'Milliseconds that computing one row took on average.';
comment on column backfill.progress.task is 'The task.';
comment on column backfill.progress.state is 'running, paused or idle.';
comment on column backfill.progress.total is 'Rows done and to be done, as far as is known.';
comment on column backfill.progress.total_exact is 'Whether total is exact.';
comment on column backfill.progress.done is 'Rows finished, whatever their outcome, but for those that are known to need work again.';
comment on column backfill.progress.ok is 'Finished with a result.';
comment on column backfill.progress.nothing_found is 'Finished without anything to find.';
comment on column backfill.progress.skipped is 'No subjects after all.';
comment on column backfill.progress.failed is 'Failed for good.';
comment on column backfill.progress.ready is 'Enqueued and waiting.';
comment on column backfill.progress.running is 'Held by a process now.';
comment on column backfill.progress.remaining is 'Rows still to be done.';
comment on column backfill.progress.percent is 'Share of total that is done.';
comment on column backfill.progress.per_minute is 'Rows a minute, on average over up to five minutes.';
comment on column backfill.progress.eta is 'Time left at this rate.';
comment on column backfill.progress.processes is 'Processes working now.';
comment on column backfill.progress.wait_reason is 'Why nothing moves; null: it moves.';
comment on column backfill.running.task is 'The task.';
comment on column backfill.running.key is 'The application row''s key.';
comment on column backfill.running.attempt is 'How often it was claimed.';
comment on column backfill.running.alone is 'Whether it is tried alone, after a crash.';
comment on column backfill.running.host is 'Where its process runs.';
comment on column backfill.running.pid is 'Its process there.';
comment on column backfill.running.run is 'The run.';
comment on column backfill.running.runner is 'The runner.';
comment on column backfill.running.held_for is 'How long it has been held.';
comment on column backfill.running.last_heartbeat is 'Age of the process''s last sign of life.';
comment on column backfill.stalled.task is 'The task.';
comment on column backfill.stalled.host is 'Where the process runs, or ran.';
comment on column backfill.stalled.pid is 'Its process id there.';
comment on column backfill.stalled.run is 'Its run.';
comment on column backfill.stalled.runner is 'Its runner id.';
comment on column backfill.stalled.jobs_held is 'Jobs it holds.';
comment on column backfill.stalled.silent_for is 'Age of its last sign of life.';
comment on column backfill.stalled.reason is 'What is going to happen.';
comment on column backfill.failures.task is 'The task.';
comment on column backfill.failures.key is 'The application row''s key.';
comment on column backfill.failures.error_class is 'Short word for the cause.';
comment on column backfill.failures.error_message is 'What happened.';
comment on column backfill.failures.attempts is 'How often it was claimed.';
comment on column backfill.failures.failed_at is 'When it failed.';
comment on column backfill.failures.run is 'In which run.';
comment on column backfill.failure_causes.task is 'The task.';
comment on column backfill.failure_causes.error_class is 'Short word for the cause.';
comment on column backfill.failure_causes.rows is 'How many rows.';
comment on column backfill.failure_causes.example_key is 'One of them.';
comment on column backfill.failure_causes.example_message is 'What happened to one of them.';
comment on column backfill.failure_causes.last_failed_at is 'When the last of them failed.';
