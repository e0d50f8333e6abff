-- pgbackfill, engine: who may do what
--
-- Three roles that nobody logs in as; a login becomes a member of those it needs:
--
--   backfill_reader     looks: every table and view, and what a dry run calls
--   backfill_runner     a process: starts and joins runs, claims, finishes; is a reader too
--   backfill_operator   a person: starts, pauses, resumes, cancels, retries, sets limits; is a reader too
--
-- None of them writes a table, but for the limits and the pacing of a task, which an operator sets
-- by a plain update. All else is written by functions that run with their owner's rights, and who
-- may call which of those is decided here. A run's condition is evaluated with the rights of the
-- session that calls, and in its author's sessions alone, so nobody borrows anybody's rights by it.
--
-- A task's view is made after all this, so it becomes readable by default privileges of the role
-- that owns the engine. Where another role installs a task, or a dump was restored before the
-- roles were there, set_up_roles() is to be called once more. An apply function needs no grant:
-- finish() calls it with the owner's rights, and as long as it is not "security definer" itself,
-- somebody else who calls it writes nothing that he may not write anyway.
--
-- Roles belong to the server and not to one database: they are made where they are missing, and
-- each database grants to them what is its own. A login's membership holds in all of them.

create function backfill.roles()
returns table (name text, purpose text, may_call text[]) language sql immutable set search_path = pg_catalog, pg_temp as $$
    values ('backfill_reader', 'pgbackfill: may look at backfills',
            array['roles', 'known_task', 'known_run', 'native_type', 'needs_again', 'pending_sql', 'count_pending', 'preview']),
           ('backfill_runner', 'pgbackfill: may work for backfills; for the processes that compute',
            array['start', 'create_run', 'join_run', 'runner_lock_space', 'heartbeat', 'leave', 'end_run', 'rescue',
                  'sweep_open', 'enqueue', 'discover', 'claim', 'outlook', 'finish', 'release']),
           ('backfill_operator', 'pgbackfill: may start, pause, resume, cancel and retry backfills and set their limits',
            array['start', 'create_run', 'pause', 'resume', 'cancel', 'retry', 'rescue'])
$$;
comment on function backfill.roles() is 'The roles, what each is for, and the functions that each may call. Runner and operator are members of the reader.';

create function backfill.guarded_functions()
returns table (function regprocedure, name text) language sql stable set search_path = pg_catalog, pg_temp as $$
    select p.oid::regprocedure, p.proname::text from pg_proc p
     where p.pronamespace = 'backfill'::regnamespace
       and (exists (select from backfill.roles() r where p.proname = any (r.may_call))
            or p.proname in ('log_event', 'register_task', 'unregister_task', 'prune', 'open_lane', 'inputs', 'retry_delay',
                             'refuse_change', 'log_steering', 'set_up_roles', 'take_down_roles', 'guarded_functions'))
$$;
comment on function backfill.guarded_functions() is 'The engine''s own functions, which nobody calls without a grant; those of the tasks are left alone.';

create function backfill.set_up_roles()
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
    for v_one in
        select g.function, r.name from backfill.roles() r join backfill.guarded_functions() g on g.name = any (r.may_call)
    loop
        execute format('grant execute on function %s to %I', v_one.function, v_one.name);
    end loop;
end $$;
comment on function backfill.set_up_roles() is
    'Creates the roles where they are missing and grants them what is theirs in this database. For the engine''s owner; may be called at any time, again too.';

create function backfill.take_down_roles()
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_owner name := (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = 'backfill.task'::regclass);
    v_role record;
    v_one record;
    v_detail text;
begin
    for v_role in select r.name, r.purpose, to_regrole(r.name)::oid as id from backfill.roles() r where to_regrole(r.name) is not null order by r.name desc loop
        for v_one in
            select format('function %s', g.function) as object from backfill.guarded_functions() g
            union all
            select format('table %s', c.oid::regclass) from pg_class c
             where c.relnamespace = 'backfill'::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and pg_has_role(c.relowner, 'usage')
            union all
            select 'schema backfill' from pg_namespace n where n.nspname = 'backfill' and pg_has_role(n.nspowner, 'usage')
        loop
            execute format('revoke all on %s from %I', v_one.object, v_role.name);
        end loop;
        execute format('alter default privileges for role %I in schema backfill revoke all on tables from %I', v_owner, v_role.name);
    end loop;
    -- Members first, the reader last. What this did not make, or what somebody still has, stays.
    for v_role in select r.name, r.purpose, to_regrole(r.name)::oid as id from backfill.roles() r where to_regrole(r.name) is not null order by r.name = 'backfill_reader' loop
        if shobj_description(v_role.id, 'pg_authid') is distinct from v_role.purpose then
            raise notice 'the role % stays: it was not made by pgbackfill', v_role.name;
        elsif exists (select from pg_auth_members m join pg_roles u on u.oid = m.member
                       where m.roleid = v_role.id and u.rolname not in (select r.name from backfill.roles() r)
                         and not (u.rolname = current_user and m.admin_option)) then
            raise notice 'the role % stays: it has members', v_role.name
                using hint = format('if nobody needs it: drop role %I', v_role.name);
        else
            begin
                execute format('drop role %I', v_role.name);
            exception when others then
                get stacked diagnostics v_detail = pg_exception_detail;
                raise notice 'the role % stays: %', v_role.name, sqlerrm
                    using detail = v_detail, hint = format('when nothing needs it any more: drop role %I', v_role.name);
            end;
        end if;
    end loop;
end $$;
comment on function backfill.take_down_roles() is
    'Takes from the roles what is theirs in this database, and drops those that nobody else has: no member, no other database.';

create function backfill.log_steering() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform backfill.log_event('set', new.name, null, (
        select jsonb_object_agg(n.key, jsonb_build_object('from', o.value, 'to', n.value))
          from jsonb_each(to_jsonb(old)) o join jsonb_each(to_jsonb(new)) n using (key)
         where o.value is distinct from n.value));
    return null;
end $$;
comment on function backfill.log_steering() is 'Puts a change of a task''s limits or pacing into the audit.';
create trigger task_steering_is_logged
    after update of batch_size, delay_ms, max_attempts, backoff_base, backoff_max, retry_wait, lease, look_ahead on backfill.task
    for each row when (old.* is distinct from new.*) execute function backfill.log_steering();
comment on trigger task_steering_is_logged on backfill.task is 'An operator sets these by a plain update, which leaves its event like all else that an operator does.';

select backfill.set_up_roles();
