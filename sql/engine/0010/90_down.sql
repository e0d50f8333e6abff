-- pgbackfill, engine: remove what revision 10 made; the functions that it replaced are then made anew from
-- the scripts of earlier revisions, its views before this script. In the reverse order of the scripts.

-- 65_rights.sql
drop function backfill.table_rights();

-- 55_activity.sql
drop view backfill.activity;
drop function backfill.review_counts(), backfill.recent_rows(text, jsonb, integer), backfill.rows_name(backfill.task), backfill.event_words(backfill.event, text, text),
    backfill.row_words(text, text, text, text, text, text), backfill.note_recent(bigint, text, bigint, jsonb);
drop table backfill.runner_recent;
alter table backfill.attempt_error drop column number;

-- 50_hooks.sql to 53_commands.sql
drop view backfill.webhooks, backfill.deliveries;
drop trigger run_is_started on backfill.run;
drop trigger run_ends on backfill.run;
drop function backfill.note_command(bigint, text, text, integer, text, boolean), backfill.take_command(bigint, text, text, integer, interval),
    backfill.prune_deliveries(interval), backfill.note_delivery(uuid, integer, integer, text, integer, double precision),
    backfill.take_deliveries(integer, interval, uuid), backfill.webhook_signature(bytea, bytea),
    backfill.test_webhook(text), backfill.drop_webhook(text), backfill.rotate_webhook_secret(text, interval),
    backfill.set_webhook(text, text, text[], text, integer, boolean, text), backfill.known_webhook(text), backfill.new_webhook_secret(),
    backfill.webhook_host(text), backfill.has_webhooks(), backfill.run_has_ended(), backfill.run_was_started(), backfill.tell_batches(text, bigint, boolean),
    backfill.tell_webhooks(text, text, bigint), backfill.hook_message(text, bigint), backfill.run_facts(bigint);
drop function backfill.heartbeat(bigint, text);
drop table backfill.run_command, backfill.run_batch, backfill.delivery, backfill.webhook;
drop function backfill.webhook_was_set();

-- 40_access.sql
select backfill.take_down_roles(array['backfill_admin', 'backfill_server']);
drop function backfill.take_down_roles(text[]), backfill.set_up_roles(), backfill.set_up_members(), backfill.secret_tables();
drop function backfill.end_session(bytea), backfill.session_of(bytea, boolean), backfill.log_in(bytea, bytea, text, interval), backfill.prune_logins(),
    backfill.uncount_login(text), backfill.count_login(text, integer, interval), backfill.login_source(text), backfill.authenticate(bytea), backfill.note_use(bigint),
    backfill.revoke_token(text), backfill.create_token(text, text, interval), backfill.pg_role(text);
drop view backfill.tokens;
drop function backfill.session_refusal(backfill.login_session), backfill.token_refusal(backfill.token);
drop table backfill.login_failure, backfill.login_session, backfill.token;

-- 35_estimate.sql
drop function backfill.estimate_run(text, text, boolean, bigint, jsonb, text), backfill.run_time(bigint);

-- 33_new_rows.sql
drop function backfill.claim_new(bigint, integer, bigint), backfill.sweep_open(bigint);

-- 32_views.sql
drop view backfill.workers;
drop function backfill.estimate_jobs(text);
comment on view backfill.progress is 'One row a task: how far it is, how fast, when it will be done, and in wait_reason why nothing moves (null: it moves). total is exact where total_exact says so: what is known to need work since the last run began, rows that came later left out; else it is in part the planner''s estimate.';
comment on column backfill.progress.total_exact is 'Whether total is exact.';

-- 31_claim.sql
drop function backfill.claim(bigint, integer, bigint, timestamptz, boolean);

-- 30_windows.sql
drop view backfill.windows;
drop function backfill.clear_window(text), backfill.set_window(text, time, time, text), backfill.hold_reason(text),
    backfill.window_reason(text), backfill.window_now(backfill.task_window, timestamptz);
drop table backfill.task_window;

-- 25_schedules.sql
drop view backfill.schedules;
drop function backfill.fire_schedule(text, timestamptz, timestamptz, timestamptz, bigint, text, text), backfill.end_run_of_nothing(bigint),
    backfill.note_tick(text, timestamptz, bigint, text, bigint, text), backfill.take_tick(text, timestamptz, timestamptz, timestamptz),
    backfill.plan_schedule(text, timestamptz, timestamptz, text), backfill.enable_schedule(text, boolean), backfill.drop_schedule(text),
    backfill.known_schedule(text), backfill.set_schedule(text, text, text, jsonb, text);
drop table backfill.tick, backfill.schedule;
drop function backfill.schedule_is_set();

-- 22_serve.sql
drop function backfill.leave(bigint, text), backfill.prune_queue(), backfill.serve(), backfill.serve_space();

-- 21_seats.sql
drop trigger run_clears_its_seats on backfill.run;
drop function backfill.clear_seats(), backfill.fail_run(bigint, bigint, text), backfill.give_seat_back(bigint, bigint, integer, boolean, interval),
    backfill.take_seat(bigint, bigint, integer), backfill.keep_seats(bigint, text[], interval), backfill.leave_fleet(bigint),
    backfill.join_fleet(text, integer, integer, text[]), backfill.enqueue_seat(bigint, integer, interval), backfill.idle_reason(backfill.run),
    backfill.seat_priority(backfill.run, integer), backfill.entrypoint_of(backfill.run);
drop table backfill.seat, backfill.worker;

-- 20_requests.sql
drop function backfill.start_once(text, text, jsonb, text, bigint, boolean, integer, integer, text), backfill.keep_request_key(text, bigint),
    backfill.take_request_key(text, jsonb), backfill.refuse_second(text, jsonb), backfill.run_seats(jsonb);
drop table backfill.request_key;
-- runs for new rows are nothing that revision 9 knows of
update backfill.run set source = 'psql' where source = 'watch';
drop index backfill.run_standing, backfill.run_served_alone;
alter table backfill.run
    drop column seats,
    drop column standing,
    drop column beside,
    drop column failed_at,
    drop constraint run_options_are_an_object,
    drop constraint run_source_is_known,
    add constraint run_source_is_known check (source in ('psql', 'cli', 'api', 'page', 'schedule'));
comment on column backfill.run.source is 'Where it was started from: psql, cli, api, page or schedule.';

-- 10_queue.sql
drop table backfill.pgqueuer, backfill.pgqueuer_log, backfill.pgqueuer_schedules, backfill.pgqueuer_statistics;
drop function backfill.fn_pgqueuer_changed();
drop type backfill.pgqueuer_status;

-- 06_discover.sql
drop function backfill.join_run(bigint, integer, text, integer, boolean), backfill.discover(bigint, integer, text);

-- 05_actors.sql
alter table backfill.task_budget alter column set_by set default session_user;
alter table backfill.run alter column requested_by set default session_user, drop column token;
alter table backfill.event drop column token;
comment on column backfill.run.requested_by is 'The database user who started it.';
drop function backfill.watch(text), backfill.set_budget(text, numeric, text), backfill.pause(text, text);
create or replace function backfill.mark_rate_set() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.set_by := session_user;
    new.set_at := clock_timestamp();
    new.slowed_to := null;
    return new;
end $$;
drop function backfill.actor(), backfill.token_name(), backfill.demand_server(), backfill.is_server();
