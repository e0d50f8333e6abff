-- Purpose: Make failed jobs ready again.
-- Parameters: task: its name; error_class: one cause, or null for all; keys: these rows, or null for all
-- Index: job_failed
-- Lock order: job rows, tally row
select backfill.retry(%(task)s, %(error_class)s::text, %(keys)s::text[]) as reopened
