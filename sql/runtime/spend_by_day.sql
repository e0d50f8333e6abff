-- Purpose: What was spent on each day (UTC), by task and call, the last days first.
-- Parameters: task: its name, or null for all; limit: rows at most, or null for all
-- Index: spend_day by primary key where a task is named; effect_intended
-- Lock order: none
select s.day, s.task, s.provider, s.operation, s.region,
       sum(s.calls)::bigint as calls, sum(s.usd) as usd, sum(s.open_calls)::bigint as open_calls, sum(s.open_usd) as open_usd,
       count(*) over () as of, sum(sum(s.usd)) over () as total_usd
  from backfill.spend s where %(task)s::text is null or s.task = %(task)s
 group by s.day, s.task, s.provider, s.operation, s.region
 order by s.day desc, s.task, s.provider nulls last, s.operation, s.region limit %(limit)s
