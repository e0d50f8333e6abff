-- Purpose: Budgets in money, those of tasks and those of live runs.
-- Parameters: task: its name, or null for all
-- Index: task_budget by primary key; run_not_ended; spend_month and run_cost by primary key; effect_intended
-- Lock order: none
select * from backfill.budgets where %(task)s::text is null or task = %(task)s order by task, per, run
