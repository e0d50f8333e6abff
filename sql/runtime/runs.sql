-- Purpose: The newest runs.
-- Parameters: task: its name, or null for all; limit: rows at most
-- Index: run by primary key
-- Lock order: none
select * from backfill.runs where %(task)s::text is null or task = %(task)s order by run desc limit %(limit)s
