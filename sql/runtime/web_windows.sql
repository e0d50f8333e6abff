-- Purpose: Tasks that have hours, and whether these are open now.
-- Parameters: task: its name, or null for all
-- Index: none (a small table)
-- Lock order: none
select * from backfill.windows where %(task)s::text is null or task = %(task)s order by task
