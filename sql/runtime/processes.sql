-- Purpose: Processes that work for the tasks now, and what each waits for.
-- Parameters: task: its name, or null for all
-- Index: runner_live, job_running
-- Lock order: none
select r.task, r.run_id as run, r.id as runner, r.host, r.pid, clock_timestamp() - r.started_at as up_for,
       r.ok + r.nothing_found + r.skipped + r.failed as processed, r.failed, r.retried,
       (select count(*) from backfill.job j where j.task = r.task and j.runner_id = r.id and j.state = 'running') as holds,
       clock_timestamp() - r.heartbeat_at as last_heartbeat, r.direct, r.note
  from backfill.runner r
 where r.status = 'live' and (%(task)s::text is null or r.task = %(task)s)
 order by r.task, r.run_id, r.id
