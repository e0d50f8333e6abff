-- Purpose: The tables that a task reads, whether they are watched, and what is wrong with that.
-- Parameters: task: its name
-- Index: input by task; arrival_in_order
-- Lock order: none
select * from backfill.watches where task = %(task)s order by relation
