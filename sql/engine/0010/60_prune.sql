-- pgbackfill, engine: prune() anew, for what a service leaves behind, too
--
-- New rows that nobody took for so long are found by the next sweep.

create or replace function backfill.prune(
    p_keep interval default '30 days', out runs bigint, out errors bigint, out minutes bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    with gone as materialized (
        -- a runner that nobody has found dead yet is what leads to the jobs it holds
        select r.id from backfill.run r
         where r.status = 'ended' and r.ended_at < clock_timestamp() - p_keep
           and not exists (select from backfill.runner w where w.run_id = r.id and w.status = 'live')
           for update skip locked
    ), sums as (
        select w.task, sum(w.ok) as ok, sum(w.nothing_found) as nothing_found, sum(w.skipped) as skipped, sum(w.failed) as failed
          from backfill.runner w join gone on gone.id = w.run_id group by w.task
    ), folded as (
        update backfill.tally t
           set ok = t.ok + s.ok, nothing_found = t.nothing_found + s.nothing_found,
               skipped = t.skipped + s.skipped, failed = t.failed + s.failed
          from sums s where t.task = s.task
    ), deleted as (
        delete from backfill.run r using gone where r.id = gone.id returning 1
    )
    select count(*) into runs from deleted;
    delete from backfill.attempt_error e where e.at < clock_timestamp() - p_keep;
    get diagnostics errors = row_count;
    delete from backfill.runner_minute m where m.minute < clock_timestamp() - least(p_keep, interval '2 hours');
    get diagnostics minutes = row_count;
    -- what is unsettled stays until somebody settles it, and what was spent stays for good
    delete from backfill.effect e where e.ended_at < clock_timestamp() - p_keep;
    -- what nobody would ever look at again
    delete from backfill.arrival a where a.at < clock_timestamp() - p_keep;
    delete from backfill.token t where coalesce(t.revoked_at, t.expires_at) < clock_timestamp() - p_keep;
    perform backfill.prune_logins();
    perform backfill.prune_deliveries(least(p_keep, interval '7 days'));
    perform backfill.prune_queue();
    perform backfill.log_event('prune', null, null, jsonb_build_object('keep', p_keep::text, 'runs', runs, 'errors', errors));
end $$;
comment on function backfill.prune(interval) is
    'Removes ended runs, settled effects and failed attempts older than that, and rates older than two hours; the tasks'' numbers and what they spent stay, jobs and the audit too. Call it from cron now and then. Removes new rows that nobody took, tokens that ended, and what their users, webhooks, schedules and workers left behind, too.';
