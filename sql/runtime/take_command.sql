-- Purpose: Ask who runs the command before or after a run.
-- Parameters: run, moment: before_run or after_run; host, pid: this process; seconds: how long it may take
-- Index: run, run_command by primary key
-- Lock order: the row of run_command, and nothing else
select backfill.take_command(%(run)s, %(moment)s, %(host)s, %(pid)s, make_interval(secs => %(seconds)s)) as state
