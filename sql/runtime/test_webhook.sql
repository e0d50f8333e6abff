-- Purpose: Write a message to a webhook that tells of nothing.
-- Parameters: webhook: its name
-- Index: webhook by primary key
-- Lock order: the webhook (update)
select backfill.test_webhook(%(webhook)s) as delivery
