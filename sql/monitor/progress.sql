-- How far each task is, how fast, when it will be done, and why nothing moves.
--
--   psql "$DATABASE_URL" -f sql/monitor/progress.sql
--
-- Cheap enough to be repeated every second: it counts no big table. To watch it in an open psql,
-- paste the statement and end it with \watch 2 in place of the semicolon.
select task, state, percent, done, remaining, total_exact as exact, failed,
       per_minute, eta, processes, wait_reason
  from backfill.progress
 order by task;
