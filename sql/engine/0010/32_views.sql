-- pgbackfill, engine: what a DBA looks at of the service
--
-- The view progress says why a run that workers are to serve waits, and leaves processes that are there for new
-- rows only out of account. Of very many rows that wait it makes no exact count, since pages look each second.
--
-- Indexes: job_fresh, job_due, job_solo, job_running.
-- Lock order: none.

create function backfill.estimate_jobs(p_task text)
returns bigint language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    -- not what the planner would say, which takes a table that grows by updates to hold more rows
    return (select c.reltuples * s.most_common_freqs[array_position(s.most_common_vals::text::text[], p_task)]
              from pg_class c
              join pg_stats s on s.schemaname = 'backfill' and s.tablename = 'job' and s.attname = 'task'
             where c.oid = 'backfill.job'::regclass);
end $$;
comment on function backfill.estimate_jobs(text) is
    'How many jobs a task has, finished ones too, as of the last ANALYZE of the table; null where that did not see them.';

create or replace view backfill.progress as
select t.name as task,
       case when t.paused_at is not null then 'paused' when w.live > 0 then 'running' else 'idle' end as state,
       n.done + n.unfinished as total,
       n.exact as total_exact,
       n.done, n.ok, n.nothing_found, n.skipped, n.failed, n.ready, n.running, n.unfinished as remaining,
       case when n.done + n.unfinished > 0 then round(100.0 * n.done / (n.done + n.unfinished), 1) end as percent,
       p.per_minute,
       case when w.live > 0 and p.per_minute > 0 and t.paused_at is null and h.reason is null
            then make_interval(secs => round(n.unfinished * 60 / p.per_minute)::double precision) end as eta,
       w.live + w.standing as processes,
       case when t.paused_at is not null then format('paused by %s', t.paused_by) || coalesce(': ' || t.paused_reason, '')
            when (w.live > 0 or c.served > 0) and n.unfinished > 0 and h.reason is not null then h.reason
            when b.reason is not null and n.unfinished > 0 then 'budget: ' || b.reason
            when w.live = 0 and n.unfinished > 0 and c.spent_out is not null then format('budget: the last run used up its own (max_%s)', c.spent_out)
            when w.live = 0 and c.served > 0 and not exists (
                 select from backfill.run r join backfill.worker k on backfill.entrypoint_of(r) = any (k.serves)
                  where r.task = t.name and r.status <> 'ended' and r.seats is not null and not r.standing
                    and k.status = 'live' and k.heartbeat_at > clock_timestamp() - interval '10 seconds') then coalesce(
                 (select format('waits for a worker whose login is %s: its condition is evaluated in sessions of that login only', r.requested_by)
                    from backfill.run r
                   where r.task = t.name and r.status <> 'ended' and r.seats is not null and not r.standing and r.where_sql is not null and r.token is null
                   order by r.id limit 1),
                 'waits for a worker: backfill worker')
            when w.live = 0 and c.served > 0 then 'waits for its turn at a worker'
            when w.live = 0 and c.runs > 0 then 'no process works for the run that was started'
            when w.live = 0 and n.unfinished > 0 then 'no process is running'
            when w.live = 0 and not exists (select from backfill.sweep x where x.task = t.name and x.began_at is not null) then 'not run yet'
            when w.live = 0 then 'nothing to do'
            when w.working > 0 then case when n.unfinished > 0 then g.reason end
            when w.waiting > 0 then w.note
            else format('no sign of life from %s for %s s; see backfill.stalled', case w.live when 1 then 'its process' else w.live || ' processes' end,
                        floor(extract(epoch from w.silent_for))) end as wait_reason
  from backfill.task t
  join backfill.tally y on y.task = t.name
  join backfill.throughput p on p.task = t.name
 cross join lateral (
       -- those that are there for new rows only don't bring the rest forward
       select count(*) filter (where r.status = 'live' and not s.standing) as live,
              count(*) filter (where r.status = 'live' and s.standing) as standing,
              count(*) filter (where r.status = 'live' and not s.standing and r.note is null and r.heartbeat_at > clock_timestamp() - interval '10 seconds') as working,
              count(*) filter (where r.status = 'live' and not s.standing and r.note is not null and r.heartbeat_at > clock_timestamp() - interval '10 seconds') as waiting,
              min(r.note) filter (where r.status = 'live' and not s.standing and r.heartbeat_at > clock_timestamp() - interval '10 seconds') as note,
              min(clock_timestamp() - r.heartbeat_at) filter (where r.status = 'live' and not s.standing) as silent_for,
              coalesce(sum(r.ok), 0)::bigint + y.ok as ok,
              coalesce(sum(r.nothing_found), 0)::bigint + y.nothing_found as nothing_found,
              coalesce(sum(r.skipped), 0)::bigint + y.skipped as skipped,
              coalesce(sum(r.failed), 0)::bigint + y.failed as failed
         from backfill.runner r
        cross join lateral (select r.status = 'live' and exists (select from backfill.run x where x.id = r.run_id and x.standing) as standing) s
        where r.task = t.name) w
 cross join lateral (
       -- How many jobs a task has changes slowly, and those that are finished are counted anyway; of their
       -- states the planner learns late.
       select a.ready <= 10000 as exact,
              case when a.ready <= 10000 then a.ready
                   else greatest(a.ready, backfill.estimate_jobs(t.name) - a.running - w.ok - w.nothing_found - w.skipped - w.failed) end as ready,
              a.running,
              (select count(*) from backfill.run r where r.task = t.name and r.status <> 'ended' and not r.standing) as runs,
              (select count(*) from backfill.run r where r.task = t.name and r.status <> 'ended' and not r.standing and r.seats is not null) as served,
              (select r.spent_out from backfill.run r where r.task = t.name and not r.standing order by r.id desc limit 1) as spent_out
         from (select (select count(*) from backfill.job j where j.task = t.name and j.state = 'running') as running,
                      -- each is an index of its own, and read in its order; else the planner may read the table
                      (select count(*) from (
                       (select from backfill.job j where j.task = t.name and j.state = 'ready' and j.run_after is null and not j.solo order by j.lane, j.id limit 10001)
                       union all
                       (select from backfill.job j where j.task = t.name and j.state = 'ready' and j.run_after is not null order by j.lane, j.run_after limit 10001)
                       union all
                       (select from backfill.job j where j.task = t.name and j.state = 'ready' and j.solo order by j.lane, j.id limit 10001)) x) as ready
               offset 0) a
       -- kept apart: pulled up, each of these counts would be made once for each of its uses
       offset 0) c
 cross join lateral (select backfill.budget_reason(t.name) as reason) b
 cross join lateral backfill.guard_now(t.name, false) g
 cross join lateral (select backfill.hold_reason(t.name) as reason) h
 cross join lateral (
       -- two sweeps at once may wait for the same row
       select coalesce(sum(s.to_come), 0)::bigint as to_come, coalesce(sum(s.again), 0)::bigint as again,
              coalesce(bool_and(r.found_exact), true) and count(*) < 2 as exact
         from backfill.sweep s left join backfill.run r on r.id = s.counted_by
        where s.task = t.name and s.to_come > 0) s
 cross join lateral (
       select w.ok, w.nothing_found, w.skipped, w.failed, c.ready, c.running, s.exact and c.exact as exact,
              greatest(w.ok + w.nothing_found + w.skipped + w.failed - s.again, 0) as done,
              c.ready + c.running + s.to_come as unfinished) n;
comment on view backfill.progress is 'One row a task: how far it is, how fast, when it will be done, and in wait_reason why nothing moves (null: it moves). total is exact where total_exact says so: what is known to need work since the last run began, rows that came later left out; else it is in part the planner''s estimate, and so are ready and remaining where more than 10,000 rows wait.';
comment on column backfill.progress.total_exact is 'Whether total is exact, and ready and remaining with it.';

create view backfill.workers as
select w.id as worker, w.host, w.pid, w.status, w.slots, coalesce(s.busy, 0) as busy, w.started_at, w.ended_at,
       clock_timestamp() - w.heartbeat_at as last_heartbeat, w.serves, coalesce(s.seats, '[]') as seats
  from backfill.worker w
  left join lateral (
       select count(*) filter (where not r.standing) as busy,
              jsonb_agg(jsonb_build_object('run', x.run_id, 'seat', x.seat, 'task', r.task, 'since', x.taken_at, 'new_rows', r.standing) order by x.run_id, x.seat) as seats
         from backfill.seat x join backfill.run r on r.id = x.run_id where x.worker_id = w.id) s on true
 where w.status = 'live' or w.ended_at > clock_timestamp() - interval '1 day';
comment on view backfill.workers is 'Workers that are there, or were within the last day.';
comment on column backfill.workers.worker is 'The worker''s number.';
comment on column backfill.workers.host is 'Its host.';
comment on column backfill.workers.pid is 'Its process id there.';
comment on column backfill.workers.status is 'live, left, or lost: it was silent, and its seats were given to others.';
comment on column backfill.workers.slots is 'Processes that it has at a time, beside those for new rows.';
comment on column backfill.workers.busy is 'How many of these work for a run now.';
comment on column backfill.workers.started_at is 'When it came.';
comment on column backfill.workers.ended_at is 'When it went.';
comment on column backfill.workers.last_heartbeat is 'How long ago it gave a sign of life.';
comment on column backfill.workers.serves is 'What it takes: seat:TASK for runs, new:TASK for new rows, each with :LOGIN where a run has a condition.';
comment on column backfill.workers.seats is 'What its processes work for.';
