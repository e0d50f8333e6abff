-- Purpose: Start a run.
-- Parameters: task, options, where, limit, retry_failed, batch_size, delay_ms, source: see the function
-- Index: the needs view
-- Lock order: none that anybody waits for
select backfill.start(%(task)s, %(options)s, %(where)s::text, %(limit)s::bigint, %(retry_failed)s::boolean,
                      %(batch_size)s::integer, %(delay_ms)s::integer, %(source)s) as run
