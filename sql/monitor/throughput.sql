-- How fast the tasks go: their rates, then each of the last 30 minutes with a bar.
--
--   psql "$DATABASE_URL" -f sql/monitor/throughput.sql
select task, last_minute, per_minute, last_hour, failed_last_hour, avg_ms
  from backfill.throughput
 order by task;

with minute as (
    select task, minute, sum(finished) as finished, sum(failed) as failed
      from backfill.runner_minute
     where minute > clock_timestamp() - interval '30 minutes'
     group by task, minute
)
select task, to_char(minute, 'HH24:MI') as minute, finished, failed,
       repeat('#', ceil(40.0 * finished / nullif(max(finished) over (partition by task), 0))::integer) as bar
  from minute
 order by task, minute.minute;
