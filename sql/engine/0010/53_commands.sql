-- pgbackfill, engine: commands before and after a run, which of its processes runs them
--
-- The commands themselves come from who starts a process, never from here.

create function backfill.take_command(p_run bigint, p_moment text, p_host text, p_pid integer, p_lasts interval)
returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_state text;
begin
    if p_moment = 'after_run' and not exists (select from backfill.run r where r.id = p_run and r.status = 'ended') then
        return 'none';
    end if;
    insert into backfill.run_command as c (run_id, moment, host, pid, due_at)
    values (p_run, p_moment, p_host, p_pid, clock_timestamp() + p_lasts)
    on conflict (run_id, moment) do update
       set host = excluded.host, pid = excluded.pid, began_at = clock_timestamp(), due_at = excluded.due_at
     where c.state = 'running' and (c.due_at < clock_timestamp() or (c.host, c.pid) = (excluded.host, excluded.pid));
    if found then
        return 'mine';
    end if;
    select c.state into v_state from backfill.run_command c where c.run_id = p_run and c.moment = p_moment;
    return v_state;
end $$;
comment on function backfill.take_command(bigint, text, text, integer, interval) is
    'Which of a run''s processes runs a command before or after it: mine, or the state of whose it is (running, done, failed); none: it has not ended yet. One that is overdue is handed on.';

create function backfill.note_command(p_run bigint, p_moment text, p_host text, p_pid integer, p_error text, p_again boolean default false)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if p_again then
        delete from backfill.run_command c where c.run_id = p_run and c.moment = p_moment and c.host = p_host and c.pid = p_pid and c.state = 'running';
        return;
    end if;
    update backfill.run_command c
       set state = case when p_error is null then 'done' else 'failed' end, ended_at = clock_timestamp(), error = left(p_error, 500)
     where c.run_id = p_run and c.moment = p_moment and c.host = p_host and c.pid = p_pid and c.state = 'running';
    if found and p_error is not null then
        perform backfill.log_event('hook_failed', (select r.task from backfill.run r where r.id = p_run), p_run,
            jsonb_build_object('moment', p_moment, 'host', p_host, 'pid', p_pid, 'error', left(p_error, 500)));
    end if;
end $$;
comment on function backfill.note_command(bigint, text, text, integer, text, boolean) is 'Takes down how a command ended, p_error null where it ended well, or, with p_again, that another process may run it. A failure leaves an event.';
