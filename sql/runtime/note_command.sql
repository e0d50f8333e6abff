-- Purpose: Take down how a command before or after a run ended.
-- Parameters: run, moment: before_run or after_run; host, pid: this process; error: null where it ended well;
--   again: it was interrupted, and another process may run it
-- Index: run_command by primary key
-- Lock order: the row of run_command, and nothing else
select backfill.note_command(%(run)s, %(moment)s, %(host)s, %(pid)s, %(error)s::text, %(again)s)
