-- Purpose: Set a webhook, a new one or one that is there; what is null stays.
-- Parameters: webhook: its name; url, moments, task, max_attempts, enabled: its settings
-- Index: webhook by primary key
-- Lock order: the webhook (update)
select backfill.set_webhook(
    %(webhook)s, %(url)s::text, %(moments)s::text[], %(task)s::text, %(max_attempts)s::integer, %(enabled)s::boolean) as secret
