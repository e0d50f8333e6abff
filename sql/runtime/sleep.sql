-- Purpose: Say that this process sleeps, so that who inserts into a watched table wakes it.
-- Parameters: task: its name
-- Index: none
-- Lock order: an advisory lock of the session, shared
select pg_advisory_lock_shared(backfill.wake_space(), hashtext(%(task)s))
