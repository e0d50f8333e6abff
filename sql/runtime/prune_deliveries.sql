-- Purpose: Remove messages to webhooks that ended more than a week ago.
-- Parameters: none
-- Index: delivery_ended
-- Lock order: deliveries that have ended
select backfill.prune_deliveries() as gone
