-- Purpose: Whether there is a webhook to be told.
-- Parameters: none
-- Index: webhook: few rows
-- Lock order: none
select exists (select from backfill.webhooks where enabled) as some
