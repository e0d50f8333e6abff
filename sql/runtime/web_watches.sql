-- Purpose: Which tables the tasks watch for new and changed rows.
-- Parameters: task: its name, or null for all
-- Index: input by task; arrival_in_order
-- Lock order: none
select * from backfill.watches where %(task)s::text is null or task = %(task)s order by task, relation
