-- Purpose: Failed rows by cause.
-- Parameters: task: its name, or null for all
-- Index: job_failed
-- Lock order: none
select * from backfill.failure_causes where %(task)s::text is null or task = %(task)s order by task, rows desc
