-- Purpose: Jobs held now.
-- Parameters: task: its name, or null for all; limit: rows at most
-- Index: job_running
-- Lock order: none
select * from backfill.running where %(task)s::text is null or task = %(task)s order by held_for desc limit %(limit)s
