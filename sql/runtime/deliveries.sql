-- Purpose: The last messages to webhooks, the newest first.
-- Parameters: webhook: its name, null for all; limit: how many
-- Index: delivery_by_time
-- Lock order: none
select id::text, webhook, moment, task, run, state, attempts, created_at, due_at, ended_at, status, error, took_ms, body
  from backfill.deliveries
 where %(webhook)s::text is null or webhook = %(webhook)s
 order by created_at desc limit %(limit)s
