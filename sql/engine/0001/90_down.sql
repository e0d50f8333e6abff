-- pgbackfill, engine: remove everything this revision made. The schema itself and alembic's own
-- table stay, since alembic still writes to it; `backfill migrate --uninstall` drops those too.

drop view backfill.failure_causes, backfill.failures, backfill.stalled, backfill.running, backfill.progress, backfill.throughput, backfill.runs;
drop function backfill.rescue(interval);
drop function backfill.leave(bigint, text);
drop function backfill.heartbeat(bigint, text);
drop function backfill.join_run(bigint, integer, text, integer, boolean);
drop function backfill.runner_lock_space();
drop function backfill.release(bigint, bigint[]);
drop function backfill.finish(bigint, jsonb);
drop function backfill.retry_delay(interval, interval, integer, double precision);
drop function backfill.outlook(bigint);
drop function backfill.claim(bigint, integer, bigint, timestamptz, boolean);
drop function backfill.inputs(text, text[]);
drop function backfill.discover(bigint, integer);
drop function backfill.enqueue(bigint, text[], text[], text[], text[], timestamptz, text, text, boolean);
drop function backfill.sweep_open(bigint);
drop function backfill.native_type(text);
drop function backfill.prune(interval);
drop function backfill.retry(text, text, text[]);
drop function backfill.cancel(bigint);
drop function backfill.open_lane(bigint);
drop function backfill.end_run(bigint, text);
drop function backfill.resume(text);
drop function backfill.pause(text, text);
drop function backfill.start(text, jsonb, text, bigint, boolean, integer, integer, text);
drop function backfill.create_run(text, jsonb, text, bigint, boolean, integer, integer, text, bigint, bigint, bigint, boolean);
drop function backfill.preview(text, text, boolean, integer);
drop function backfill.count_pending(text, text, boolean, integer);
drop function backfill.pending_sql(text, text, text);
drop function backfill.needs_again(text, text, text, integer, text, integer, boolean);
drop function backfill.unregister_task(text);
drop function backfill.register_task(text, integer, text, integer, integer, jsonb);
drop function backfill.known_run(bigint);
drop function backfill.known_task(text);
drop function backfill.log_event(text, text, bigint, jsonb);
drop table backfill.attempt_error, backfill.runner_minute, backfill.sweep, backfill.tally, backfill.job, backfill.runner, backfill.run, backfill.event, backfill.task;
drop function backfill.refuse_change();
