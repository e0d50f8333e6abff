-- Purpose: Sign of life of a worker; which seats it still has, and which it should give to others.
-- Parameters: worker: its number; serves: entrypoints of the queue; slice: seconds that a seat is kept while others wait
-- Index: worker by primary key, seat_by_worker, pgqueuer_ep_prio_id_idx
-- Lock order: worker row
select * from backfill.keep_seats(%(worker)s, %(serves)s::text[], make_interval(secs => %(slice)s::double precision))
