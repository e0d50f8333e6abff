-- pgbackfill, engine: rights on tables beyond looking

create function backfill.table_rights()
returns table (role text, relation regclass, privileges text) language sql stable set search_path = pg_catalog, pg_temp as $$
    values ('backfill_runner', 'backfill.pgqueuer'::regclass, 'update, delete'),
           ('backfill_runner', 'backfill.pgqueuer_log', 'insert'),
           ('backfill_operator', 'backfill.task', 'update (batch_size, delay_ms, max_attempts, backoff_base, backoff_max, retry_wait, lease, look_ahead)'),
           ('backfill_operator', 'backfill.rate_limit', 'update (per_second, burst, concurrency, floor)'),
           ('backfill_operator', 'backfill.schedule', 'update (task, cron, timezone, options, enabled)')
$$;
comment on function backfill.table_rights() is 'What roles may do with tables beside reading them: workers with pgqueuer''s, which it writes itself, operators with limits, pacing and schedules. Granted by set_up_roles().';
