-- Purpose: What webhooks there are, and how they do.
-- Parameters: webhook: its name, null for all
-- Index: webhook: few rows; delivery_waiting, delivery_delivered, delivery_with_error
-- Lock order: none
select * from backfill.webhooks where %(webhook)s::text is null or name = %(webhook)s order by name
