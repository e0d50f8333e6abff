-- pgbackfill, engine: what a DBA sees of effects, of money, and of budgets

create view backfill.effects as
select e.id, e.task, e.key, e.provider, e.operation, e.region, e.subject, e.reference, e.payer, e.usd, e.state,
       e.run_id as run, e.runner_id as runner, e.attempt, e.intended_at as since, clock_timestamp() - e.intended_at as age,
       case when e.state = 'answered' then 'it was charged; ' else '' end ||
       case when j.state is null then 'its row is no job any more; settle it by hand'
            when j.state = 'running' and j.attempt = e.attempt and w.status = 'live'
            then case when e.state = 'answered' then 'the row''s result is not written yet'
                      when e.over_at is null then 'the call is being made' else 'no answer came, and the row is still at work' end
            when j.state = 'running' then 'a later attempt at the row was told of it'
            when j.state = 'ready' then
                 case when e.state = 'answered' then 'the row''s result was not written'
                      when e.over_at is not null then 'no answer came'
                      else 'its process was gone before the answer' end || '; the row''s next attempt is told of it'
            when j.state = 'failed' then
                 case when e.state = 'answered' then '' else 'nobody knows whether it was charged; ' end
                 || format('the row failed (%s): retry it, or settle the effect by hand', j.error_class)
            else case when e.state = 'answered' then '' else 'nobody knows whether it was charged; ' end
                 || format('the row is finished (%s): settle it by hand', j.state) end as reason
  from backfill.effect e
  left join backfill.job j on j.task = e.task and j.key = e.key
  left join backfill.runner w on w.id = e.runner_id
 where e.state in ('intended', 'answered');
comment on view backfill.effects is 'Calls to providers that are unsettled: since when, and why. By hand: select backfill.settle_effect(id, true), or false where the provider did not charge it.';
comment on column backfill.effects.id is 'Its name.';
comment on column backfill.effects.task is 'The task.';
comment on column backfill.effects.key is 'The application row''s key.';
comment on column backfill.effects.provider is 'Who was called.';
comment on column backfill.effects.operation is 'The call.';
comment on column backfill.effects.region is 'Where it is billed.';
comment on column backfill.effects.subject is 'What it changes there.';
comment on column backfill.effects.reference is 'The name that it has there.';
comment on column backfill.effects.payer is 'For whom it is paid.';
comment on column backfill.effects.usd is 'US dollars that it is held to cost.';
comment on column backfill.effects.state is 'intended (may have been charged) or answered (was charged).';
comment on column backfill.effects.run is 'In which run.';
comment on column backfill.effects.runner is 'By which process.';
comment on column backfill.effects.attempt is 'At which attempt.';
comment on column backfill.effects.since is 'When it was written, just before the call.';
comment on column backfill.effects.age is 'How long ago that is.';
comment on column backfill.effects.reason is 'Why it is unsettled, and what will be done about it.';

create view backfill.spend as
select x.task, x.day, nullif(x.payer, '') as payer, nullif(x.provider, '') as provider, nullif(x.operation, '') as operation, x.region,
       sum(x.calls)::bigint as calls, sum(x.usd) as usd, sum(x.open_calls)::bigint as open_calls, sum(x.open_usd) as open_usd
  from (
       select d.task, d.day, d.payer, d.provider, d.operation, d.region, d.calls, d.usd, 0 as open_calls, 0::numeric as open_usd
         from backfill.spend_day d
       union all
       select e.task, backfill.utc_day(e.intended_at), e.payer, e.provider, e.operation, e.region, 0, 0, 1, e.usd
         from backfill.effect e where e.state = 'intended') x
 group by x.task, x.day, x.payer, x.provider, x.operation, x.region;
comment on view backfill.spend is 'What was spent, by task, day, payer and call; it outlives runs. What a run spent is in backfill.run_costs.';
comment on column backfill.spend.task is 'The task.';
comment on column backfill.spend.day is 'The day, UTC, on which the calls were begun.';
comment on column backfill.spend.payer is 'For whom, as the task says; null: it does not.';
comment on column backfill.spend.provider is 'Who was called; null: what results said they cost.';
comment on column backfill.spend.operation is 'The call.';
comment on column backfill.spend.region is 'Where it is billed; *: nobody said.';
comment on column backfill.spend.calls is 'Calls that were charged.';
comment on column backfill.spend.usd is 'US dollars for these.';
comment on column backfill.spend.open_calls is 'Calls beside these that may have been charged: those being made, and those of processes that died.';
comment on column backfill.spend.open_usd is 'US dollars for these.';

create view backfill.run_costs as
select x.run, x.task, nullif(x.provider, '') as provider, nullif(x.operation, '') as operation, x.region,
       sum(x.calls)::bigint as calls, sum(x.usd) as usd, sum(x.open_calls)::bigint as open_calls, sum(x.open_usd) as open_usd
  from (
       select w.run_id as run, w.task, c.provider, c.operation, c.region, c.calls, c.usd, 0 as open_calls, 0::numeric as open_usd
         from backfill.run_cost c join backfill.runner w on w.id = c.runner_id
       union all
       select w.run_id, w.task, '', '', '*', null, w.spend_usd, 0, 0 from backfill.runner w where w.spend_usd > 0
       union all
       select e.run_id, e.task, e.provider, e.operation, e.region, 0, 0, 1, e.usd
         from backfill.effect e where e.state = 'intended') x
 group by x.run, x.task, x.provider, x.operation, x.region;
comment on view backfill.run_costs is 'What each run spent, by call; it goes with the run when that is pruned. For good, and by day and payer: backfill.spend.';
comment on column backfill.run_costs.run is 'The run.';
comment on column backfill.run_costs.task is 'Its task.';
comment on column backfill.run_costs.provider is 'Who was called; null: what results said they cost.';
comment on column backfill.run_costs.operation is 'The call.';
comment on column backfill.run_costs.region is 'Where it is billed; *: nobody said.';
comment on column backfill.run_costs.calls is 'Calls that were charged; null: results do not say.';
comment on column backfill.run_costs.usd is 'US dollars for these.';
comment on column backfill.run_costs.open_calls is 'Calls beside these that may have been charged: those being made, and those without an answer.';
comment on column backfill.run_costs.open_usd is 'US dollars for these.';

create view backfill.budgets as
select b.task, b.per, null::bigint as run, b.usd, s.used, s.held, s.unknown, b.usd - s.used - s.held - s.unknown as left_usd, b.set_by, b.set_at
  from backfill.task_budget b cross join lateral backfill.task_spend(b.task, b.per) s
union all
select r.task, 'run', r.id, backfill.max_cost(r), s.used, s.held, s.unknown, backfill.max_cost(r) - s.used - s.held - s.unknown, r.requested_by, r.started_at
  from backfill.run r cross join lateral backfill.run_spend(r.task, r.id) s
 -- what is no number is told by intend(), to who uses it
 where r.status <> 'ended' and r.options ->> 'max_cost' ~ '^[0-9]+([.][0-9]+)?$' and r.options ->> 'max_cost' !~ '^[0.]+$';
comment on view backfill.budgets is 'Budgets in money: those of tasks, and those of runs that have not ended.';
comment on column backfill.budgets.task is 'The task.';
comment on column backfill.budgets.per is 'month, total or run.';
comment on column backfill.budgets.run is 'The run.';
comment on column backfill.budgets.usd is 'US dollars that may be spent.';
comment on column backfill.budgets.used is 'US dollars that were charged.';
comment on column backfill.budgets.held is 'US dollars for calls that are being made.';
comment on column backfill.budgets.unknown is 'US dollars for calls that may have been charged; see backfill.effects.';
comment on column backfill.budgets.left_usd is 'US dollars that are left.';
comment on column backfill.budgets.set_by is 'Who set it.';
comment on column backfill.budgets.set_at is 'When.';

create or replace view backfill.runs as
select r.id as run, r.task, r.status, r.exit_reason, r.requested_by, r.source, r.started_at, r.ended_at,
       coalesce(r.ended_at, clock_timestamp()) - r.started_at as elapsed,
       least(r.found, r.max_jobs) as found, r.found_exact,
       w.ok + w.nothing_found + w.skipped + w.failed as processed,
       w.ok, w.nothing_found, w.skipped, w.failed, w.retried,
       w.live as processes, w.lost as processes_lost, w.busy_ms, w.spend_usd + c.usd as spend_usd,
       r.max_jobs, r.taken, r.where_sql
  from backfill.run r
 cross join lateral (
       select coalesce(sum(x.ok), 0)::bigint as ok, coalesce(sum(x.nothing_found), 0)::bigint as nothing_found,
              coalesce(sum(x.skipped), 0)::bigint as skipped, coalesce(sum(x.failed), 0)::bigint as failed,
              coalesce(sum(x.retried), 0)::bigint as retried, coalesce(sum(x.busy_ms), 0)::bigint as busy_ms,
              coalesce(sum(x.spend_usd), 0) as spend_usd,
              count(*) filter (where x.status = 'live') as live, count(*) filter (where x.status = 'lost') as lost
         from backfill.runner x where x.run_id = r.id) w
 cross join lateral (
       select coalesce(sum(y.usd), 0) as usd
         from backfill.runner x join backfill.run_cost y on y.runner_id = x.id where x.run_id = r.id) c;

create or replace view backfill.progress as
select t.name as task,
       case when t.paused_at is not null then 'paused' when w.live > 0 then 'running' else 'idle' end as state,
       n.done + n.unfinished as total,
       n.exact as total_exact,
       n.done, n.ok, n.nothing_found, n.skipped, n.failed, n.ready, n.running, n.unfinished as remaining,
       case when n.done + n.unfinished > 0 then round(100.0 * n.done / (n.done + n.unfinished), 1) end as percent,
       p.per_minute,
       case when w.live > 0 and p.per_minute > 0 and t.paused_at is null
            then make_interval(secs => round(n.unfinished * 60 / p.per_minute)::double precision) end as eta,
       w.live as processes,
       case when t.paused_at is not null then format('paused by %s', t.paused_by) || coalesce(': ' || t.paused_reason, '')
            when b.reason is not null and n.unfinished > 0 then 'budget: ' || b.reason
            when w.live = 0 and n.unfinished > 0 and c.spent_out is not null then format('budget: the last run used up its own (max_%s)', c.spent_out)
            when w.live = 0 and c.runs > 0 then 'no process works for the run that was started'
            when w.live = 0 and n.unfinished > 0 then 'no process is running'
            when w.live = 0 and not exists (select from backfill.sweep x where x.task = t.name and x.began_at is not null) then 'not run yet'
            when w.live = 0 then 'nothing to do'
            when w.working > 0 then null
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
