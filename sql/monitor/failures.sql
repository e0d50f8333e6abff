-- Rows that failed for good: first by cause, then the newest 20.
--
--   psql "$DATABASE_URL" -f sql/monitor/failures.sql
--
-- To take them up again, all of a cause or some keys of it:
--   select backfill.retry('quality_score', 'http_503');
--   select backfill.retry('quality_score', p_keys => array['...', '...']);
select task, error_class, rows, example_key, example_message, last_failed_at
  from backfill.failure_causes
 order by task, rows desc;

select task, key, error_class, error_message, attempts, failed_at, run
  from backfill.failures
 order by failed_at desc
 limit 20;
