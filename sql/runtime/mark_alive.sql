-- Purpose: Take the session lock that vanishes with this process. Direct connections only.
-- Parameters: runner: this process's runner id
-- Index: none
-- Lock order: advisory lock of the runner, free unless the id is taken
select pg_try_advisory_lock(backfill.runner_lock_space(), %(runner)s::integer) as taken
