-- Purpose: What a run's rows add up to, beside their number.
-- Parameters: run: the run
-- Index: runner_by_run, run_figure by primary key
-- Lock order: none
select name, label, amount from backfill.run_figures where run = %(run)s order by label, name
