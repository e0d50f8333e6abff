-- rate_release
-- Purpose: Give back this process's slots and its places in queues.
-- Parameters: holder: this process
-- Index: none: reads rate_limit from end to end, once for each process that ends
-- Lock order: rows of limits that it holds something of
select backfill.release_slots(%(holder)s)
