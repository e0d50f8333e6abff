-- pgbackfill, engine: the view progress says which guard holds or slows a task

create or replace view backfill.progress as
select t.name as task,
       case when t.paused_at is not null then 'paused' when w.live > 0 then 'running' else 'idle' end as state,
       n.done + n.unfinished as total,
       n.exact as total_exact,
       n.done, n.ok, n.nothing_found, n.skipped, n.failed, n.ready, n.running, n.unfinished as remaining,
       case when n.done + n.unfinished > 0 then round(100.0 * n.done / (n.done + n.unfinished), 1) end as percent,
       p.per_minute,
       case when w.live > 0 and p.per_minute > 0 and t.paused_at is null and g.state <> 'hold'
            then make_interval(secs => round(n.unfinished * 60 / p.per_minute)::double precision) end as eta,
       w.live as processes,
       case when t.paused_at is not null then format('paused by %s', t.paused_by) || coalesce(': ' || t.paused_reason, '')
            when w.live > 0 and n.unfinished > 0 and g.state = 'hold' then g.reason
            when b.reason is not null and n.unfinished > 0 then 'budget: ' || b.reason
            when w.live = 0 and n.unfinished > 0 and c.spent_out is not null then format('budget: the last run used up its own (max_%s)', c.spent_out)
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
       select count(*) filter (where r.status = 'live') as live,
              count(*) filter (where r.status = 'live' and r.note is null and r.heartbeat_at > clock_timestamp() - interval '10 seconds') as working,
              count(*) filter (where r.status = 'live' and r.note is not null and r.heartbeat_at > clock_timestamp() - interval '10 seconds') as waiting,
              min(r.note) filter (where r.status = 'live' and r.heartbeat_at > clock_timestamp() - interval '10 seconds') as note,
              min(clock_timestamp() - r.heartbeat_at) filter (where r.status = 'live') as silent_for,
              coalesce(sum(r.ok), 0)::bigint + y.ok as ok,
              coalesce(sum(r.nothing_found), 0)::bigint + y.nothing_found as nothing_found,
              coalesce(sum(r.skipped), 0)::bigint + y.skipped as skipped,
              coalesce(sum(r.failed), 0)::bigint + y.failed as failed
         from backfill.runner r where r.task = t.name) w
 cross join lateral (
       -- each of the three is an index of its own
       select (select count(*) from backfill.job j where j.task = t.name and j.state = 'ready' and j.run_after is null and not j.solo)
              + (select count(*) from backfill.job j where j.task = t.name and j.state = 'ready' and j.run_after is not null)
              + (select count(*) from backfill.job j where j.task = t.name and j.state = 'ready' and j.solo) as ready,
              (select count(*) from backfill.job j where j.task = t.name and j.state = 'running') as running,
              (select count(*) from backfill.run r where r.task = t.name and r.status <> 'ended') as runs,
              (select r.spent_out from backfill.run r where r.task = t.name order by r.id desc limit 1) as spent_out) c
 cross join lateral (select backfill.budget_reason(t.name) as reason) b
 cross join lateral backfill.guard_now(t.name, false) g
 cross join lateral (
       -- two sweeps at once may wait for the same row
       select coalesce(sum(s.to_come), 0)::bigint as to_come, coalesce(sum(s.again), 0)::bigint as again,
              coalesce(bool_and(r.found_exact), true) and count(*) < 2 as exact
         from backfill.sweep s left join backfill.run r on r.id = s.counted_by
        where s.task = t.name and s.to_come > 0) s
 cross join lateral (
       select w.ok, w.nothing_found, w.skipped, w.failed, c.ready, c.running, s.exact,
              greatest(w.ok + w.nothing_found + w.skipped + w.failed - s.again, 0) as done,
              c.ready + c.running + s.to_come as unfinished) n;
