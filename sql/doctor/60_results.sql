-- Purpose: Does the needs view let go of rows that were done? Of the newest 2,000 jobs, those that
--   finished ok and whose row, unchanged since, still stands in the view are done again by each run.
-- Parameters: none
-- Index: job by primary key, from its end; the needs view by its native key
-- Lock order: none
with newest as materialized (
    select j.task, j.key, j.state, j.revision, j.task_version from backfill.job j order by j.id desc limit 2000
), done as (
    select n.task, array_agg(n.key) as keys from newest n where n.state = 'ok' group by n.task
), still as (
    select d.task, count(*) as rows, min(i.key) as example
      from done d
     cross join lateral backfill.inputs(d.task, d.keys) i
      join backfill.task t on t.name = d.task
      join newest n on n.task = d.task and n.key = i.key
     where n.revision is not distinct from i.revision and n.task_version >= t.version
     group by d.task
)
select 'fail' as level, format('%1$s: %2$s finished ok and still in the view backfill.needs_%1$s, such as %3$s', s.task,
              case when s.rows = 1 then '1 row' else s.rows || ' rows' end, s.example) as what,
       format('backfill.apply_%1$s must write what makes the view let go of a row; else each run computes it again', s.task) as advice
  from still s
union all
select 'ok', format('%s: the view lets go of rows that are done (%s looked at)', d.task, cardinality(d.keys)), null
  from done d
 where not exists (select from still s where s.task = d.task)
