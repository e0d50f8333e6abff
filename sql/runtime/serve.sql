-- Purpose: Keep served runs going: seats of silent workers, seats missing in the queue, runs for new rows.
-- Parameters: none
-- Index: worker_live, run_not_ended, seat_by_worker, pgqueuer_unique_dedupe_key
-- Lock order: an advisory lock, taken only if free; worker rows, then seats, then the queue
select * from backfill.serve()
