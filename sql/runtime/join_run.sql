-- Purpose: Register this process with a run.
-- Parameters: run: the run; version: of the task's code here; host, pid: of this process; direct: whether it holds a session lock
-- Index: run by primary key
-- Lock order: run row (share)
select backfill.join_run(%(run)s, %(version)s, %(host)s, %(pid)s, %(direct)s) as runner
