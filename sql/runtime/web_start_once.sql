-- Purpose: Start a run, or find the one that the same request with this key has started.
-- Parameters: key: the request's own; task, options, where, limit, retry_failed, batch_size, delay_ms, source: see
--   the function
-- Index: request_key by primary key; the needs view
-- Lock order: the key, then as for start
select * from backfill.start_once(%(key)s, %(task)s, %(options)s::jsonb, %(where)s::text, %(limit)s::bigint, %(retry_failed)s::boolean,
                                  %(batch_size)s::integer, %(delay_ms)s::integer, %(source)s)
