-- pgbackfill, engine: what a run would cost and how long it would take, by what an earlier one did
--
-- Known from what is here already: no row is looked into, and nobody is asked.

create function backfill.run_time(p_run bigint, out working interval, out processes numeric)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with present as (
        -- one that died was found dead some time after
        select w.id, w.ok + w.nothing_found + w.skipped + w.failed as finished,
               tstzrange(w.started_at, greatest(w.started_at, case w.status when 'left' then w.ended_at else w.heartbeat_at end)) as span
          from backfill.runner w where w.run_id = p_run
    ), whole as (
        select (select sum(upper(u.span) - lower(u.span)) from unnest(range_agg(p.span)) as u (span)) as one, sum(upper(p.span) - lower(p.span)) as each,
               sum(p.finished) as finished
          from present p
    ), minutes as (
        select m.minute, lag(m.minute) over (order by m.minute) as before, sum(m.finished) as finished
          from present p join backfill.runner_minute m on m.runner_id = p.id group by m.minute
    ), busy as (
        select interval '1 minute' + coalesce(sum(least(m.minute - m.before, interval '10 minutes')) filter (where m.before is not null), interval '0') as lasted, sum(m.finished) as finished
          from minutes m
    )
    -- prune() may have taken some of the minutes
    select case when b.finished = w.finished then least(w.one, b.lasted) else w.one end,
           round((extract(epoch from w.each) / nullif(extract(epoch from w.one), 0))::numeric, 1)
      from whole w, busy b
$$;
comment on function backfill.run_time(bigint) is
    'How long processes worked for a run that has ended, and how many at a time on average. Of a time without any finished row, such as a pause, at most ten minutes count, for as long as backfill.runner_minute has all of the run.';

create function backfill.estimate_run(
    p_task text, p_where text default null, p_retry_failed boolean default false, p_limit bigint default null, p_options jsonb default '{}',
    p_provider text default null,
    out pending bigint, out exact boolean, out run bigint, out run_rows bigint, out processes numeric, out takes interval,
    out usd_a_row numeric, out usd numeric, out calls jsonb, out left_usd numeric, out left_per text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_version integer := (backfill.known_task(p_task)).version;
    v_spent numeric;
begin
    select c.pending, c.exact into pending, exact from backfill.count_pending(p_task, p_where, p_retry_failed, p_options => p_options) c;
    if pending > p_limit then
        pending := p_limit;
        exact := true;
    end if;
    select b.left_usd, b.per into left_usd, left_per from backfill.budgets b where b.task = p_task and b.run is null order by b.left_usd, b.per limit 1;
    -- runs of a few rows tell nothing, and there may be very many
    select r.id, w.finished, w.spent into run, run_rows, v_spent
      from (select r.id from backfill.run r where r.task = p_task and r.status = 'ended' and not r.standing order by r.id desc limit 200) r
     cross join lateral (
           select sum(x.ok + x.nothing_found + x.skipped + x.failed)::bigint as finished, sum(x.spend_usd) as spent
             from backfill.runner x where x.run_id = r.id and x.task_version = v_version) w
     where w.finished >= 20
       and (p_provider is null or (p_provider <> '') = exists (
            select from backfill.runner x join backfill.run_cost c on c.runner_id = x.id
             where x.run_id = r.id and c.calls > 0 and p_provider in (c.provider, '')))
     order by r.id desc limit 1;
    if run is null then
        return;
    end if;
    select t.working * (pending::double precision / run_rows), t.processes into takes, processes from backfill.run_time(run) t;
    with made as (
        select c.provider, c.operation, c.region, sum(c.calls) as calls, sum(c.usd) as usd
          from backfill.runner w join backfill.run_cost c on c.runner_id = w.id
         where w.run_id = estimate_run.run group by c.provider, c.operation, c.region having sum(c.calls) > 0
    ), priced as (
        -- what a fraction leaves behind the ninth place is no call
        select m.*, e.number, coalesce(backfill.estimate_usd(m.provider, m.operation, m.region, e.number), e.number * m.usd / m.calls) as expected
          from made m cross join lateral (select ceil(round(m.calls * pending / run_rows, 9))::bigint as number) e
    )
    select trim_scale(round(coalesce(sum(p.expected), 0) + v_spent * pending / run_rows, 6)),
           trim_scale(round((coalesce(sum(p.usd), 0) + v_spent) / run_rows, 6)),
           coalesce(jsonb_agg(jsonb_build_object('provider', p.provider, 'operation', p.operation, 'region', p.region, 'calls', p.number,
                                                 'calls_a_row', trim_scale(round(p.calls / run_rows, 4)), 'usd', trim_scale(round(p.expected, 6)))
                              order by p.provider, p.operation, p.region), '[]')
      into usd, usd_a_row, calls from priced p;
    if pending > 0 then
        usd_a_row := trim_scale(round(usd / pending, 6));
    end if;
end $$;
comment on function backfill.estimate_run(text, text, boolean, bigint, jsonb, text) is
    'What a run with these options would take (pending: counted up to 50,000, beyond that the planner''s estimate, exact = false), and what to expect of it by the latest run that ended and finished at least 20 rows of this version: run, its rows and processes; takes, at its pace; calls and US dollars at its calls a row and today''s prices. Nulls where no run tells. p_provider: go by runs that paid it alone; empty: by those that made no paid calls. left_usd is what the task''s tightest budget leaves, per month or in total. Writes nothing.';
