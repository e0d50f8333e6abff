-- Purpose: Runs of a task that have not ended, but for the one that does its new rows while it is watched.
-- Parameters: task: its name
-- Index: run_not_ended
-- Lock order: none
select id as run, status from backfill.run where task = %(task)s and status <> 'ended' and not standing order by id
