-- Purpose: What each task has spent since ever.
-- Parameters: none
-- Index: spend_month by primary key: a row a task and month
-- Lock order: none
select m.task, sum(m.usd) as usd from backfill.spend_month m group by m.task order by m.task
