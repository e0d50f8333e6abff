-- Purpose: What a task spent on each of its last days.
-- Parameters: task: its name; days: at most
-- Index: spend_day by primary key
-- Lock order: none
select day, sum(calls)::bigint as calls, sum(usd) as usd from backfill.spend where task = %(task)s group by day order by day desc limit %(days)s
