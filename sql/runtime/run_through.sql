-- Purpose: Rows of a run that were finished otherwise than by failing, and steps of rows.
-- Parameters: run: the run
-- Index: runner_by_run
-- Lock order: none
select coalesce(sum(ok + nothing_found + skipped + steps), 0)::bigint as through from backfill.runner where run_id = %(run)s
