-- Purpose: Rows that failed for good.
-- Parameters: task: its name, or null for all; error_class: one cause, or null for all; limit: rows at most
-- Index: job_failed
-- Lock order: none
select * from backfill.failures
 where (%(task)s::text is null or task = %(task)s) and (%(error_class)s::text is null or error_class = %(error_class)s)
 order by failed_at desc limit %(limit)s
