-- Purpose: What a run spent, by call.
-- Parameters: run: the run
-- Index: runner_by_run, run_cost by primary key, effect_intended
-- Lock order: none
select * from backfill.run_costs where run = %(run)s order by provider nulls last, operation, region
