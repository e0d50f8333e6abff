-- pgbackfill, engine: who may do what with the service
--
-- The functions of revision 9 anew.

create or replace function backfill.roles()
returns table (name text, purpose text, may_call text[]) language sql immutable set search_path = pg_catalog, pg_temp as $$
    values ('backfill_reader', 'pgbackfill: may look at backfills',
            array['roles', 'known_task', 'known_run', 'native_type', 'needs_again', 'pending_sql', 'count_pending', 'preview', 'pause_words', 'faded',
                  'storing_tasks', 'kept_objects', 'utc_day', 'utc_month', 'price_usd', 'calls_this_month', 'estimate_usd',
                  'task_spend', 'run_spend', 'budget_reason', 'max_cost', 'run_summary', 'sample', 'group_limit', 'guard_now', 'guard_amount',
                  'run_seats', 'refuse_second', 'known_schedule', 'window_now', 'window_reason', 'hold_reason', 'entrypoint_of', 'seat_priority', 'idle_reason',
                  'run_facts', 'hook_message', 'webhook_host', 'has_webhooks',
                  'is_server', 'token_name', 'actor',
                  'recent_rows', 'row_words', 'event_words', 'rows_name', 'review_counts', 'estimate_jobs',
                  'run_time', 'estimate_run']),
           ('backfill_runner', 'pgbackfill: may work for backfills; for the processes that compute',
            array['start', 'create_run', 'join_run', 'runner_lock_space', 'heartbeat', 'leave', 'end_run', 'rescue',
                  'sweep_open', 'enqueue', 'enqueue_each', 'discover', 'claim', 'outlook', 'finish', 'release',
                  'take_tokens', 'throttled', 'release_slots', 'prune_rates', 'reserve', 'settle', 'intend', 'halt',
                  'evaluate_guard', 'measure_guard', 'note_guard',
                  'claim_new', 'sweep_anew', 'hear', 'wake_space',
                  'take_request_key', 'keep_request_key', 'start_once', 'join_fleet', 'leave_fleet', 'keep_seats', 'take_seat', 'give_seat_back',
                  'fail_run', 'serve', 'serve_space', 'prune_queue', 'plan_schedule', 'take_tick', 'note_tick', 'fire_schedule', 'end_run_of_nothing',
                  'take_deliveries', 'note_delivery', 'prune_deliveries', 'take_command', 'note_command']),
           ('backfill_operator', 'pgbackfill: may start, pause, resume, cancel and retry backfills and set their limits',
            array['start', 'create_run', 'pause', 'resume', 'cancel', 'retry', 'rescue', 'set_rate', 'lift_pause', 'prune_rates',
                  'set_price', 'set_budget', 'settle_effect', 'set_guard', 'drop_guard', 'evaluate_guard', 'measure_guard', 'note_guard',
                  'watch', 'unwatch',
                  'take_request_key', 'keep_request_key', 'start_once', 'set_schedule', 'drop_schedule', 'enable_schedule', 'set_window', 'clear_window']),
           ('backfill_admin', 'pgbackfill: may do what runners and operators may, and say who else may use the service',
            array['prune', 'create_token', 'revoke_token', 'token_refusal', 'session_refusal',
                  'set_webhook', 'rotate_webhook_secret', 'drop_webhook', 'test_webhook']),
           ('backfill_server', 'pgbackfill: for the login of the web server, which takes on the role of whoever asks',
            array['authenticate', 'log_in', 'session_of', 'end_session'])
$$;
comment on function backfill.roles() is 'The roles, what each is for, and the functions that each may call. Runner and operator are members of the reader, the admin of both; the server has the rights of none before it takes a role on.';

create function backfill.secret_tables()
returns table (name text, readable_by text) language sql immutable set search_path = pg_catalog, pg_temp as $$
    values ('token', null), ('login_session', null), ('login_failure', null), ('tokens', 'backfill_admin'),
           ('webhook', null)
$$;
comment on function backfill.secret_tables() is 'Tables and views that readers do not see, and the role that does; null: their owner alone.';

create or replace function backfill.guarded_functions()
returns table (function regprocedure, name text) language sql stable set search_path = pg_catalog, pg_temp as $$
    select p.oid::regprocedure, p.proname::text from pg_proc p
     where p.pronamespace = 'backfill'::regnamespace
       and (exists (select from backfill.roles() r where p.proname = any (r.may_call))
            or p.proname in ('log_event', 'register_task', 'unregister_task', 'open_lane', 'inputs', 'retry_delay',
                             'refuse_change', 'log_steering', 'set_up_roles', 'take_down_roles', 'guarded_functions',
                             'lock_rate', 'mark_rate_set', 'pass_rate_on', 'log_price', 'count_cost', 'take_cost_back', 'note_effects',
                             'settle_effects', 'note_spent_out', 'count_said_spend',
                             'guard_level', 'guard_reason', 'guard_was_set', 'take_guards',
                             'measure_replication', 'measure_vacuum', 'measure_wal',
                             'fn_pgqueuer_changed', 'enqueue_seat', 'clear_seats', 'schedule_is_set',
                             'wake', 'declare_inputs', 'drop_watch', 'create_arrive', 'watch_table', 'input_is_deleted',
                             'tell_webhooks', 'tell_batches', 'run_was_started', 'run_has_ended', 'webhook_was_set',
                             'new_webhook_secret', 'known_webhook', 'webhook_signature',
                             'tell_failed', 'secret_tables', 'table_rights', 'set_up_members', 'demand_server', 'pg_role', 'note_use', 'login_source', 'count_login', 'uncount_login', 'prune_logins',
                             'note_recent'))
$$;
comment on function backfill.guarded_functions() is 'The engine''s own functions, which nobody calls without a grant; those of the tasks are left alone.';

-- roles that are missing were told of by revision 2
set local client_min_messages = warning;
select backfill.set_up_roles();
