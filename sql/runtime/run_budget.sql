-- Purpose: Which budget of a run is used up, its own (a meter and an amount) or its task's in money.
-- Parameters: run: the run
-- Index: run and task_budget by primary key
-- Lock order: none
select r.spent_out as meter, r.options ->> ('max_' || r.spent_out) as most, b.per, b.usd
  from backfill.run r
  left join lateral (select t.per, t.usd from backfill.task_budget t
                      where t.task = r.task and t.needed is not null and r.spent_out is null
                      order by t.per limit 1) b on true
 where r.id = %(run)s and (r.spent_out is not null or b.per is not null)
