-- Purpose: Rows that failed for good, the last first, a page at a time.
-- Parameters: task, error_class: only of these, or null for all; before_at, before_task, before_key: the last row of
--   the page before, or null; limit: rows at most
-- Index: job_failed
-- Lock order: none
select * from backfill.failures f
 where (%(task)s::text is null or f.task = %(task)s)
   and (%(error_class)s::text is null or f.error_class = %(error_class)s)
   and (%(before_at)s::timestamptz is null
        or (f.failed_at, f.task, f.key) < (%(before_at)s::timestamptz, %(before_task)s::text, %(before_key)s::text))
 order by f.failed_at desc, f.task desc, f.key desc limit %(limit)s
