-- Purpose: Clear what is old of the queue's log and of ticks.
-- Parameters: none
-- Index: pgqueuer_log_created, tick_by_age, request_key_by_age
-- Lock order: none that anybody waits for
select backfill.prune_queue()
