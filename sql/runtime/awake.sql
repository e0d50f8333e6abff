-- Purpose: Say that this process sleeps no longer.
-- Parameters: task: its name
-- Index: none
-- Lock order: none
select pg_advisory_unlock_shared(backfill.wake_space(), hashtext(%(task)s))
