-- Purpose: Remove messages to webhooks that ended more than a week ago, of batches a day ago.
-- Parameters: none
-- Index: delivery_by_time
-- Lock order: deliveries that have ended
select backfill.prune_deliveries() as gone
