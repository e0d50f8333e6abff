-- pgbackfill, engine: who may do what with live rows
--
-- The functions of revision 8 anew. What is declared as input is for the schema's owner to say: the triggers
-- note a column's values with his rights, where every reader sees them.

create or replace function backfill.roles()
returns table (name text, purpose text, may_call text[]) language sql immutable set search_path = pg_catalog, pg_temp as $$
    values ('backfill_reader', 'pgbackfill: may look at backfills',
            array['roles', 'known_task', 'known_run', 'native_type', 'needs_again', 'pending_sql', 'count_pending', 'preview', 'pause_words', 'faded',
                  'storing_tasks', 'kept_objects', 'utc_day', 'utc_month', 'price_usd', 'calls_this_month', 'estimate_usd',
                  'task_spend', 'run_spend', 'budget_reason', 'max_cost', 'run_summary', 'sample', 'group_limit', 'guard_now', 'guard_amount']),
           ('backfill_runner', 'pgbackfill: may work for backfills; for the processes that compute',
            array['start', 'create_run', 'join_run', 'runner_lock_space', 'heartbeat', 'leave', 'end_run', 'rescue',
                  'sweep_open', 'enqueue', 'enqueue_each', 'discover', 'claim', 'outlook', 'finish', 'release',
                  'take_tokens', 'throttled', 'release_slots', 'prune_rates', 'reserve', 'settle', 'intend', 'halt',
                  'evaluate_guard', 'measure_guard', 'note_guard', 'claim_new', 'sweep_anew', 'hear', 'wake_space']),
           ('backfill_operator', 'pgbackfill: may start, pause, resume, cancel and retry backfills and set their limits',
            array['start', 'create_run', 'pause', 'resume', 'cancel', 'retry', 'rescue', 'set_rate', 'lift_pause', 'prune_rates',
                  'set_price', 'set_budget', 'settle_effect', 'set_guard', 'drop_guard', 'evaluate_guard', 'measure_guard', 'note_guard',
                  'watch', 'unwatch'])
$$;
comment on function backfill.roles() is 'The roles, what each is for, and the functions that each may call. Runner and operator are members of the reader.';

create or replace function backfill.guarded_functions()
returns table (function regprocedure, name text) language sql stable set search_path = pg_catalog, pg_temp as $$
    select p.oid::regprocedure, p.proname::text from pg_proc p
     where p.pronamespace = 'backfill'::regnamespace
       and (exists (select from backfill.roles() r where p.proname = any (r.may_call))
            or p.proname in ('log_event', 'register_task', 'unregister_task', 'prune', 'open_lane', 'inputs', 'retry_delay',
                             'refuse_change', 'log_steering', 'set_up_roles', 'take_down_roles', 'guarded_functions',
                             'lock_rate', 'mark_rate_set', 'pass_rate_on', 'log_price', 'count_cost', 'take_cost_back', 'note_effects',
                             'settle_effects', 'note_spent_out', 'count_said_spend',
                             'guard_level', 'guard_reason', 'guard_was_set', 'take_guards',
                             'measure_replication', 'measure_vacuum', 'measure_wal',
                             'wake', 'declare_inputs', 'drop_watch', 'create_arrive', 'watch_table', 'input_is_deleted'))
$$;
comment on function backfill.guarded_functions() is 'The engine''s own functions, which nobody calls without a grant; those of the tasks are left alone.';

-- roles that are missing were told of by revision 2
set local client_min_messages = warning;
select backfill.set_up_roles();
