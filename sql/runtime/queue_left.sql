-- Purpose: Whether seats are free, or taken, that a worker could have.
-- Parameters: serves: entrypoints of the queue
-- Index: pgqueuer_ep_prio_id_idx
-- Lock order: none
select count(*) as jobs from backfill.pgqueuer where entrypoint = any (%(serves)s::text[]) and status in ('queued', 'picked')
