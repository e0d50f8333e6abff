-- pgbackfill, engine: who may do what with shared rates
--
-- The functions of revision 2 anew: a process takes and reports, an operator sets, a reader looks.

create or replace function backfill.roles()
returns table (name text, purpose text, may_call text[]) language sql immutable set search_path = pg_catalog, pg_temp as $$
    values ('backfill_reader', 'pgbackfill: may look at backfills',
            array['roles', 'known_task', 'known_run', 'native_type', 'needs_again', 'pending_sql', 'count_pending', 'preview', 'pause_words', 'faded']),
           ('backfill_runner', 'pgbackfill: may work for backfills; for the processes that compute',
            array['start', 'create_run', 'join_run', 'runner_lock_space', 'heartbeat', 'leave', 'end_run', 'rescue',
                  'sweep_open', 'enqueue', 'discover', 'claim', 'outlook', 'finish', 'release',
                  'take_tokens', 'throttled', 'release_slots', 'prune_rates']),
           ('backfill_operator', 'pgbackfill: may start, pause, resume, cancel and retry backfills and set their limits',
            array['start', 'create_run', 'pause', 'resume', 'cancel', 'retry', 'rescue', 'set_rate', 'lift_pause', 'prune_rates'])
$$;
comment on function backfill.roles() is 'The roles, what each is for, and the functions that each may call. Runner and operator are members of the reader.';

create or replace function backfill.guarded_functions()
returns table (function regprocedure, name text) language sql stable set search_path = pg_catalog, pg_temp as $$
    select p.oid::regprocedure, p.proname::text from pg_proc p
     where p.pronamespace = 'backfill'::regnamespace
       and (exists (select from backfill.roles() r where p.proname = any (r.may_call))
            or p.proname in ('log_event', 'register_task', 'unregister_task', 'prune', 'open_lane', 'inputs', 'retry_delay',
                             'refuse_change', 'log_steering', 'set_up_roles', 'take_down_roles', 'guarded_functions',
                             'lock_rate', 'mark_rate_set', 'pass_rate_on'))
$$;
comment on function backfill.guarded_functions() is 'The engine''s own functions, which nobody calls without a grant; those of the tasks are left alone.';

create or replace function backfill.set_up_roles()
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_owner name := (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = 'backfill.task'::regclass);
    v_one record;
begin
    for v_one in select g.function from backfill.guarded_functions() g loop
        execute format('revoke execute on function %s from public', v_one.function);
    end loop;
    for v_one in select r.name, r.purpose from backfill.roles() r where to_regrole(r.name) is null loop
        begin
            execute format('create role %I nologin', v_one.name);
            execute format('comment on role %I is %L', v_one.name, v_one.purpose);
        exception
            when insufficient_privilege then
                raise notice 'the role % is missing, and % may not create it', v_one.name, current_user
                    using hint = format('somebody who may: create role %I nologin; and then %I: select backfill.set_up_roles()', v_one.name, v_owner);
            when duplicate_object or unique_violation then
                raise notice 'the role % was created by somebody else at the same moment', v_one.name;
        end;
    end loop;
    if exists (select from backfill.roles() r where to_regrole(r.name) is null) then
        return;
    end if;

    for v_one in select r.name from backfill.roles() r where not pg_has_role(r.name, 'backfill_reader', 'usage') loop
        begin
            execute format('grant backfill_reader to %I', v_one.name);
        exception when insufficient_privilege then
            raise notice '% may not make % a member of backfill_reader', current_user, v_one.name
                using hint = format('somebody who may: grant backfill_reader to %I', v_one.name);
        end;
    end loop;
    if pg_has_role((select n.nspowner from pg_namespace n where n.nspname = 'backfill'), 'usage') then
        grant usage on schema backfill to backfill_reader;
    else
        raise notice '% may not grant the use of schema backfill', current_user
            using hint = 'its owner may: grant usage on schema backfill to backfill_reader';
    end if;
    for v_one in
        select c.oid::regclass as relation from pg_class c
         where c.relnamespace = 'backfill'::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and pg_has_role(c.relowner, 'usage')
    loop
        execute format('grant select on %s to backfill_reader', v_one.relation);
    end loop;
    execute format('alter default privileges for role %I in schema backfill grant select on tables to backfill_reader', v_owner);
    grant update (batch_size, delay_ms, max_attempts, backoff_base, backoff_max, retry_wait, lease, look_ahead)
        on backfill.task to backfill_operator;
    grant update (per_second, burst, concurrency, floor) on backfill.rate_limit to backfill_operator;
    for v_one in
        select g.function, r.name from backfill.roles() r join backfill.guarded_functions() g on g.name = any (r.may_call)
    loop
        execute format('grant execute on function %s to %I', v_one.function, v_one.name);
    end loop;
end $$;
comment on function backfill.set_up_roles() is
    'Creates the roles where they are missing and grants them what is theirs in this database. For the engine''s owner; may be called at any time, again too.';

-- roles that are missing were told of by revision 2
set local client_min_messages = warning;
select backfill.set_up_roles();
