-- Purpose: Set what a task may spend, or take its budget away.
-- Parameters: task; usd: US dollars, or null for none; per: month or total
-- Index: task and task_budget by primary key
-- Lock order: task_budget row
select backfill.set_budget(%(task)s, %(usd)s::numeric, %(per)s)
