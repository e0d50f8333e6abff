-- Purpose: Rows finished in each of the last minutes, the oldest first.
-- Parameters: task: its name; minutes: how many
-- Index: runner_minute_by_task
-- Lock order: none
select g.minute as at, coalesce(m.finished, 0)::bigint as rows, coalesce(m.failed, 0)::bigint as failed
  from generate_series(date_trunc('minute', clock_timestamp()) - make_interval(mins => %(minutes)s - 1), date_trunc('minute', clock_timestamp()), '1 minute') as g (minute)
  left join (select x.minute, sum(x.finished) as finished, sum(x.failed) as failed
               from backfill.runner_minute x
              where x.task = %(task)s and x.minute > clock_timestamp() - make_interval(mins => %(minutes)s)
              group by x.minute) m using (minute)
 order by g.minute
