-- Purpose: Whether there is a webhook to be told.
-- Parameters: none
-- Index: webhook: few rows
-- Lock order: none
select backfill.has_webhooks() as some
