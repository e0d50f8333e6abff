-- Purpose: Sign of life.
-- Parameters: runner: this process's runner id; note: what it waits for, or null
-- Index: runner by primary key
-- Lock order: runner row (no key update)
select backfill.heartbeat(%(runner)s, %(note)s::text) as status
