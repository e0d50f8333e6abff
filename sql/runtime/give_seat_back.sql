-- Purpose: A worker has no process at a seat any more.
-- Parameters: worker, run, seat: their numbers; over: nothing is left to do there; after: seconds before it is handed out again
-- Index: seat by primary key, pgqueuer_unique_dedupe_key
-- Lock order: seat row, then the queue
select backfill.give_seat_back(%(worker)s, %(run)s, %(seat)s, %(over)s, make_interval(secs => %(after)s::double precision))
