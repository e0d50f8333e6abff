-- Purpose: Give a webhook a new secret.
-- Parameters: webhook: its name
-- Index: webhook by primary key
-- Lock order: the webhook (update)
select backfill.rotate_webhook_secret(%(webhook)s) as secret
