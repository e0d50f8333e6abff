-- Purpose: Take a webhook away, with what was not sent yet.
-- Parameters: webhook: its name
-- Index: webhook by primary key, delivery_waiting
-- Lock order: the webhook (update), then its deliveries
select backfill.drop_webhook(%(webhook)s)
