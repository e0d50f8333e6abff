-- pgbackfill, engine: a task that pauses itself
--
-- A process may find that no row can be done, wherever: a provider refuses the credentials, or a quota of
-- the account is used up. Then no other process needs to find that out row by row.

create function backfill.halt(p_runner bigint, p_reason text)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_runner backfill.runner;
begin
    -- one that was taken for dead would tell of what was true a while ago
    select * into v_runner from backfill.runner w where w.id = p_runner and w.status = 'live';
    update backfill.task t
       set paused_at = clock_timestamp(), paused_by = format('process %s on %s', v_runner.pid, v_runner.host), paused_reason = left(p_reason, 500)
     where t.name = v_runner.task and t.paused_at is null;
    if found then
        perform backfill.log_event('pause', v_runner.task, v_runner.run_id, jsonb_build_object('reason', left(p_reason, 500), 'runner', p_runner));
    end if;
end $$;
comment on function backfill.halt(bigint, text) is 'Pauses the task that a process works at, for a reason that holds for every row; an operator resumes it. Whoever paused it before stays who did.';
