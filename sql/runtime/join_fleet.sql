-- Purpose: Register a worker.
-- Parameters: host, pid: where it is; slots: processes that it has at a time; serves: entrypoints of the queue
-- Index: none
-- Lock order: none
select backfill.join_fleet(%(host)s, %(pid)s, %(slots)s, %(serves)s::text[]) as worker
