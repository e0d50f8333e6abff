-- pgbackfill, engine: effects, which are calls that leave something behind elsewhere, or cost money
--
-- A database effect commits exactly once. A call to a provider can't: a process may die after the
-- provider did its part and before it is known here. So each such call is a row that is committed
-- before the call is made. What became of it is said afterwards, with the next call or the row's
-- result, and the row's result settles it in its own transaction. Whatever is neither is handed to
-- the next attempt of the row, which can ask the provider.
--
-- The row is the reservation of its price too: it counts against every budget from the moment when
-- the call may be made, also if its process dies, until it is known not to have been charged.
--
-- Lock order: effect rows in order of id, then runner rows (key share), run_cost, spend_month, spend_day in
-- order of their keys, then the run's row and the task's budgets (intend() alone). finish() comes to effects last.

create table backfill.effect (
    id          uuid primary key,
    state       text not null default 'intended',
    task        text not null,
    key         text not null,
    attempt     integer not null,
    run_id      bigint not null,
    runner_id   bigint not null,
    provider    text not null,
    operation   text not null,
    region      text not null default '*',
    subject     text not null default '',
    reference   text not null default '',
    payer       text not null default '',
    usd         numeric not null,
    assumed     boolean not null default false,
    note        text,
    intended_at timestamptz not null default clock_timestamp(),
    over_at     timestamptz,
    ended_at    timestamptz,
    constraint effect_state_is_known check (state in (
        'intended',  -- intend() -> intended: may or may not have been called and charged
        'answered',  -- intended, void -> answered: it was charged; its row's result is not written yet
        'settled',   -- intended, answered -> settled: finish() wrote the row's result, or an operator said so
        'refused',   -- intended -> refused: the provider said no, and bills nothing
        'void'       -- intended, answered -> void: it was found out later that nothing was charged
    )),
    constraint effect_ended_says_when check ((state in ('intended', 'answered')) = (ended_at is null)),
    constraint effect_costs_an_amount check (usd >= 0 and usd < 'Infinity'),
    constraint effect_only_settled_is_assumed check (state = 'settled' or not assumed),
    constraint effect_texts_are_short check (
        length(provider) between 1 and 60 and length(operation) between 1 and 60 and length(region) between 1 and 60
        and length(subject) <= 300 and length(reference) <= 300 and length(payer) <= 300 and length(note) <= 500)
);
-- small, whatever the table grows to: what is in flight, and what crashes left
create index effect_intended on backfill.effect (task, run_id) where state = 'intended';
create index effect_unsettled on backfill.effect (task, key) where state in ('intended', 'answered');
create index effect_ended on backfill.effect (ended_at) where ended_at is not null;
comment on table backfill.effect is 'One row for each paid or external call, committed before it is made. No reference to other tables: what was paid outlives runs and tasks.';
comment on column backfill.effect.id is 'A name that the process gave it, so that a statement sent twice counts once.';
comment on column backfill.effect.state is 'intended, answered (charged, the row''s result not written), settled, refused (not charged) or void (found not to have been charged).';
comment on column backfill.effect.task is 'The task.';
comment on column backfill.effect.key is 'The application row''s key.';
comment on column backfill.effect.attempt is 'The attempt at that row that made it.';
comment on column backfill.effect.run_id is 'In which run.';
comment on column backfill.effect.runner_id is 'By which process.';
comment on column backfill.effect.provider is 'Who is called.';
comment on column backfill.effect.operation is 'The call, as the provider names it.';
comment on column backfill.effect.region is 'Where the provider bills it; *: nobody said.';
comment on column backfill.effect.subject is 'What is changed there, such as a collection.';
comment on column backfill.effect.reference is 'The name that it has there, by which it can be found again.';
comment on column backfill.effect.payer is 'For whom it is paid.';
comment on column backfill.effect.usd is 'US dollars: what it is expected to cost, and once it is answered, what it cost.';
comment on column backfill.effect.assumed is 'Settled by the row''s result though nobody said whether it was charged; counted as charged.';
comment on column backfill.effect.note is 'What the provider, or who settled it, said.';
comment on column backfill.effect.intended_at is 'When it was written, before the call.';
comment on column backfill.effect.over_at is 'When the call was over, answered or not; null: it is being made, or its process died.';
comment on column backfill.effect.ended_at is 'When it was settled, refused or void; null: it is unsettled.';

create table backfill.run_cost (
    runner_id bigint not null references backfill.runner (id) on delete cascade,
    provider  text not null,
    operation text not null,
    region    text not null,
    calls     bigint not null,
    usd       numeric not null,
    primary key (runner_id, provider, operation, region)
);
comment on table backfill.run_cost is 'What each process''s calls cost; gone with its run. Summed up by the view run_costs.';
comment on column backfill.run_cost.runner_id is 'The process.';
comment on column backfill.run_cost.provider is 'Whose calls.';
comment on column backfill.run_cost.operation is 'Which calls.';
comment on column backfill.run_cost.region is 'Where they were billed.';
comment on column backfill.run_cost.calls is 'How many were charged.';
comment on column backfill.run_cost.usd is 'US dollars.';

create function backfill.calls_this_month(p_provider text, p_operation text, p_region text)
returns bigint language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce((select sum(m.calls) from backfill.spend_month m
                      where m.month = backfill.utc_month(clock_timestamp())
                        and m.provider = p_provider and m.operation = p_operation and m.region = p_region), 0)::bigint
         + (select count(*) from backfill.effect e
             where e.state = 'intended' and e.provider = p_provider and e.operation = p_operation and e.region = p_region
               and backfill.utc_month(e.intended_at) = backfill.utc_month(clock_timestamp()))
$$;
comment on function backfill.calls_this_month(text, text, text) is 'Calls of this month that were charged or may have been, of all tasks.';

create function backfill.estimate_usd(p_provider text, p_operation text, p_region text, p_calls bigint)
returns numeric language sql stable set search_path = pg_catalog, pg_temp as $$
    with made as (
        select backfill.calls_this_month(p_provider, p_operation, p_region) as calls
    ), edges as (
        -- where the price may change on the way
        select p.from_calls as at from backfill.price p, made m
         where p.provider = p_provider and p.operation = p_operation and p.region in (p_region, '*')
           and p.from_calls > m.calls and p.from_calls < m.calls + p_calls
        union select m.calls from made m
    ), parts as (
        select e.at, lead(e.at, 1, m.calls + p_calls) over (order by e.at) - e.at as calls from edges e, made m
    )
    -- where one part has no price the whole has none
    select case when count(*) = count(p.usd) then sum(x.calls * p.usd) end
      from parts x cross join lateral (select backfill.price_usd(p_provider, p_operation, p_region, x.at) as usd) p
$$;
comment on function backfill.estimate_usd(text, text, text, bigint) is 'US dollars that so many calls more would cost this month, through the tiers; null: no price is set.';

create function backfill.count_cost(p_effects uuid[])
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if p_effects is null then
        return;
    end if;
    -- of a run that was pruned meanwhile nobody asks any more; one that is there is not pruned before the end
    perform from backfill.runner w
     where w.id in (select e.runner_id from backfill.effect e where e.id = any (p_effects)) order by w.id for key share;
    insert into backfill.run_cost as c (runner_id, provider, operation, region, calls, usd)
    select w.id, e.provider, e.operation, e.region, count(*), sum(e.usd)
      from backfill.effect e join backfill.runner w on w.id = e.runner_id
     where e.id = any (p_effects)
     group by 1, 2, 3, 4 order by 1, 2, 3, 4
    on conflict (runner_id, provider, operation, region) do update
       set calls = c.calls + excluded.calls, usd = c.usd + excluded.usd;
    insert into backfill.spend_month as m (month, provider, operation, region, task, calls, usd)
    select backfill.utc_month(e.intended_at), e.provider, e.operation, e.region, e.task, count(*), sum(e.usd)
      from backfill.effect e where e.id = any (p_effects)
     group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5
    on conflict (month, provider, operation, region, task) do update
       set calls = m.calls + excluded.calls, usd = m.usd + excluded.usd;
    insert into backfill.spend_day as d (task, day, payer, provider, operation, region, calls, usd)
    select e.task, backfill.utc_day(e.intended_at), e.payer, e.provider, e.operation, e.region, count(*), sum(e.usd)
      from backfill.effect e where e.id = any (p_effects)
     group by 1, 2, 3, 4, 5, 6 order by 1, 2, 3, 4, 5, 6
    on conflict (task, day, payer, provider, operation, region) do update
       set calls = d.calls + excluded.calls, usd = d.usd + excluded.usd;
end $$;
comment on function backfill.count_cost(uuid[]) is 'Adds what these effects cost to all that is spent. Called by who comes to know that they were charged, in the same transaction.';

create function backfill.take_cost_back(p_effect backfill.effect)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update backfill.run_cost c set calls = c.calls - 1, usd = c.usd - p_effect.usd
     where (c.runner_id, c.provider, c.operation, c.region) = (p_effect.runner_id, p_effect.provider, p_effect.operation, p_effect.region);
    update backfill.spend_month m set calls = m.calls - 1, usd = m.usd - p_effect.usd
     where (m.month, m.provider, m.operation, m.region, m.task)
         = (backfill.utc_month(p_effect.intended_at), p_effect.provider, p_effect.operation, p_effect.region, p_effect.task);
    update backfill.spend_day d set calls = d.calls - 1, usd = d.usd - p_effect.usd
     where (d.task, d.day, d.payer, d.provider, d.operation, d.region)
         = (p_effect.task, backfill.utc_day(p_effect.intended_at), p_effect.payer, p_effect.provider, p_effect.operation, p_effect.region);
end $$;
comment on function backfill.take_cost_back(backfill.effect) is 'Takes off what count_cost() added for an effect that was not charged after all.';

create function backfill.note_effects(p_said jsonb)
returns uuid[] language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_charged uuid[];
begin
    with said as materialized (
        select distinct on (s.id) s.id, s.state, s.usd, s.note
          from jsonb_to_recordset(p_said) as s (id uuid, state text, usd numeric, note text)
         where s.state in ('answered', 'refused', 'void', 'unknown')
         order by s.id
    ), open as materialized (
        -- A process that was taken for dead may still bring the answer to what was held to be void.
        select e.id from backfill.effect e join said s on s.id = e.id
         where e.state = 'intended' or (e.state = 'void' and s.state = 'answered')
         order by e.id for update of e
    ), changed as (
        update backfill.effect e
           set state = case when s.state = 'unknown' then e.state else s.state end, usd = case when s.state = 'answered' then coalesce(s.usd, e.usd) else e.usd end,
               note = coalesce(left(s.note, 500), e.note), over_at = clock_timestamp(),
               ended_at = case when s.state in ('refused', 'void') then clock_timestamp() end
          from open o join said s on s.id = o.id
         where e.id = o.id
        returning e.id, e.state
    )
    select array_agg(c.id) into v_charged from changed c where c.state = 'answered';
    return v_charged;
end $$;
comment on function backfill.note_effects(jsonb) is
    'Notes what became of effects: an array of id, state (answered, refused, void, or unknown where no answer came), usd (null: what was expected) and note. Returns those that are known to be charged now, for count_cost(). Harmless when done twice.';

create function backfill.settle_effects(p_task text, p_keys text[], p_said jsonb)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_charged uuid[];
    v_assumed uuid[];
begin
    -- All at once, and each counter once below: whoever locks some of them, counts, and then wants
    -- more may be waited for by who has those.
    perform from backfill.effect e
     where e.id = any (array(
           select s.id from jsonb_to_recordset(p_said) as s (id uuid)
           union
           select o.id from backfill.effect o where o.task = p_task and o.key = any (p_keys) and o.state in ('intended', 'answered')))
     order by e.id for update;
    v_charged := backfill.note_effects(p_said);
    with open as materialized (
        select e.id, e.state from backfill.effect e
         where e.task = p_task and e.key = any (p_keys) and e.state in ('intended', 'answered')
         order by e.id for update
    ), settled as (
        update backfill.effect e
           set state = 'settled', assumed = o.state = 'intended', ended_at = clock_timestamp()
          from open o where e.id = o.id
        returning e.id, e.assumed
    )
    select array_agg(s.id) into v_assumed from settled s where s.assumed;
    perform backfill.count_cost(v_charged || v_assumed);
end $$;
comment on function backfill.settle_effects(text, text[], jsonb) is
    'Notes what is said of effects as note_effects() does, and settles all of these rows, whose results are being written; what nobody said a word about counts as charged. Called by finish().';

create function backfill.settle_effect(p_id uuid, p_charged boolean, p_note text default null)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_effect backfill.effect;
begin
    if p_charged is null then
        raise exception 'say whether effect % was charged: true or false', p_id using errcode = '22023';
    end if;
    select * into v_effect from backfill.effect e where e.id = p_id for update;
    if v_effect.state is null or v_effect.state not in ('intended', 'answered') then
        raise exception 'there is no unsettled effect %', p_id
            using errcode = 'BF008', hint = 'list them with: select * from backfill.effects';
    end if;
    if p_charged and v_effect.state = 'intended' then
        perform backfill.count_cost(array[p_id]);
    elsif not p_charged and v_effect.state = 'answered' then
        perform backfill.take_cost_back(v_effect);
    end if;
    update backfill.effect e
       set state = case when p_charged then 'settled' else 'void' end, note = coalesce(left(p_note, 500), e.note),
           over_at = coalesce(e.over_at, clock_timestamp()), ended_at = clock_timestamp()
     where e.id = p_id;
    perform backfill.log_event('settle_effect', v_effect.task, v_effect.run_id, jsonb_strip_nulls(jsonb_build_object(
        'id', p_id, 'key', v_effect.key, 'operation', v_effect.operation, 'charged', p_charged, 'usd', v_effect.usd, 'note', p_note)));
end $$;
comment on function backfill.settle_effect(uuid, boolean, text) is
    'For an operator who has looked into the provider''s bill: ends an unsettled effect as charged, or as void, which frees what it holds of the budgets.';
