-- Purpose: What was spent in each run that is still known, by call, the last runs first.
-- Parameters: task: its name, or null for all; limit: rows at most, or null for all
-- Index: run_cost and runner by primary key; effect_intended
-- Lock order: none
select c.run, c.task, c.provider, c.operation, c.region, c.calls, c.usd, c.open_calls, c.open_usd,
       count(*) over () as of, sum(c.usd) over () as total_usd
  from backfill.run_costs c where %(task)s::text is null or c.task = %(task)s
 order by c.run desc, c.provider nulls last, c.operation, c.region limit %(limit)s
