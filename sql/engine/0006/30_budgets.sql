-- pgbackfill, engine: budgets in money, and the word that allows a call
--
-- A run whose option max_cost says so, and a task by its task_budget, may spend so many US dollars.
-- intend() looks at both under their locks and gives no more than is left. What is taken is the sum
-- of what was charged and of what may have been: effects that are intended, whether their process
-- lives or not. Only calls that a live process makes right now are waited for, since it will say what
-- became of them.

create table backfill.task_budget (
    task   text not null references backfill.task (name) on delete cascade,
    per    text not null,
    usd    numeric not null,
    needed numeric,
    set_by text not null default session_user,
    set_at timestamptz not null default clock_timestamp(),
    primary key (task, per),
    constraint task_budget_period_is_known check (per in ('month', 'total')),
    constraint task_budget_is_an_amount check (usd >= 0 and usd < 'Infinity')
);
comment on table backfill.task_budget is 'What a task may spend, all its runs together; set by set_budget().';
comment on column backfill.task_budget.task is 'The task.';
comment on column backfill.task_budget.per is 'month (each calendar month, UTC) or total.';
comment on column backfill.task_budget.usd is 'US dollars.';
comment on column backfill.task_budget.needed is 'What the call would have cost for which too little was left; null: there was enough. No jobs are handed out while less than that is left.';
comment on column backfill.task_budget.set_by is 'Who set it.';
comment on column backfill.task_budget.set_at is 'When.';

create function backfill.set_budget(p_task text, p_usd numeric, p_per text default 'month')
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform backfill.known_task(p_task);
    if p_usd is null then
        delete from backfill.task_budget b where b.task = p_task and b.per = p_per;
    else
        insert into backfill.task_budget as b (task, per, usd) values (p_task, p_per, p_usd)
        on conflict (task, per) do update set usd = excluded.usd, needed = null, set_by = session_user, set_at = clock_timestamp();
    end if;
    perform backfill.log_event('set_budget', p_task, null, jsonb_build_object('per', p_per, 'usd', p_usd));
end $$;
comment on function backfill.set_budget(text, numeric, text) is
    'Sets what a task may spend in US dollars, per month or in total; null takes the budget away. Holds from the next call on, in every process.';

create function backfill.task_spend(p_task text, p_per text, out used numeric, out held numeric, out unknown numeric)
language sql stable set search_path = pg_catalog, pg_temp as $$
    -- one statement: an effect that is answered meanwhile is in one of the sums, and in one only
    select coalesce((select sum(m.usd) from backfill.spend_month m where m.task = p_task and m.month >= p.begins), 0),
           coalesce(sum(e.usd) filter (where w.status = 'live' and e.over_at is null), 0),
           coalesce(sum(e.usd) filter (where w.status is distinct from 'live' or e.over_at is not null), 0)
      from (select case p_per when 'month' then backfill.utc_month(clock_timestamp()) else '-infinity' end as begins) p
      left join backfill.effect e on e.task = p_task and e.state = 'intended' and backfill.utc_month(e.intended_at) >= p.begins
      left join backfill.runner w on w.id = e.runner_id
     group by p.begins
$$;
comment on function backfill.task_spend(text, text) is
    'What a task has spent this month or in total, what live processes hold for calls that they make, and what may have been charged by calls that nobody waits for any more.';

create function backfill.run_spend(p_task text, p_run bigint, out used numeric, out held numeric, out unknown numeric)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce((select sum(c.usd) from backfill.run_cost c join backfill.runner x on x.id = c.runner_id where x.run_id = p_run), 0),
           coalesce(sum(e.usd) filter (where w.status = 'live' and e.over_at is null), 0),
           coalesce(sum(e.usd) filter (where w.status is distinct from 'live' or e.over_at is not null), 0)
      from (values (p_run)) r (id)
      left join backfill.effect e on e.task = p_task and e.run_id = r.id and e.state = 'intended'
      left join backfill.runner w on w.id = e.runner_id
     group by r.id
$$;
comment on function backfill.run_spend(text, bigint) is 'The same of a run.';

create function backfill.budget_reason(p_task text)
returns text language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('the task''s budget of $%s %s is used up', trim_scale(b.usd), case b.per when 'month' then 'a month' else 'in total' end)
      from backfill.task_budget b cross join lateral backfill.task_spend(b.task, b.per) s
     where b.task = p_task and b.needed is not null and b.usd - s.used - s.unknown < b.needed
     order by b.per limit 1
$$;
comment on function backfill.budget_reason(text) is 'Why a task may spend no more, in words; null: it may.';

create function backfill.max_cost(p_run backfill.run)
returns numeric language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_said text := p_run.options ->> 'max_cost';
begin
    if v_said is not null and (v_said !~ '^[0-9]+([.][0-9]+)?$' or v_said ~ '^[0.]+$') then
        raise exception 'run %: its option max_cost should be a number above 0 and is %', p_run.id, quote_literal(v_said)
            using errcode = 'BF007', hint = format('start another one: backfill run %s', p_run.task);
    end if;
    return v_said;
end $$;
comment on function backfill.max_cost(backfill.run) is 'US dollars that a run may spend; null: any number.';

create function backfill.intend(p_runner bigint, p_intents jsonb, p_said jsonb default '[]')
returns table (id uuid, verdict text, usd numeric, reason text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_runner backfill.runner;
    v_run backfill.run;
    v_most numeric;
    v_budget record;
    v_one record;
    v_attempt integer;
begin
    perform backfill.count_cost(backfill.note_effects(p_said));
    select * into v_runner from backfill.runner w where w.id = p_runner for key share;
    select * into v_run from backfill.run r where r.id = v_runner.run_id;
    v_most := backfill.max_cost(v_run);
    if v_most is not null then
        perform from backfill.run r where r.id = v_run.id for no key update;
    end if;
    perform from backfill.task_budget b where b.task = v_run.task order by b.per for no key update;

    for v_one in
        select i.*
          from rows from (jsonb_to_recordset(p_intents) as (
               id uuid, key text, attempt integer, provider text, operation text, region text, subject text, reference text, payer text, usd numeric))
               with ordinality as i (id, key, attempt, provider, operation, region, subject, reference, payer, usd, place)
         order by i.place
    loop
        id := v_one.id;
        reason := null;
        -- sent a second time, after a reply that was lost
        select e.usd into usd from backfill.effect e where e.id = v_one.id;
        if found then
            verdict := 'go';
            return next;
            continue;
        end if;
        usd := coalesce(v_one.usd, backfill.price_usd(v_one.provider, v_one.operation, v_one.region,
                                                      backfill.calls_this_month(v_one.provider, v_one.operation, v_one.region)));
        -- the fence: who lost the row while he computed it pays for nothing more
        select j.attempt into v_attempt from backfill.job j
         where j.task = v_run.task and j.key = v_one.key and j.runner_id = p_runner and j.state = 'running'
           and (v_one.attempt is null or j.attempt = v_one.attempt);
        if not found or v_runner.status is distinct from 'live' then
            verdict := 'lost';
            reason := 'its row was given to another process';
            return next;
            continue;
        end if;
        if usd is null then
            verdict := 'unpriced';
            reason := format('there is no price of %s %s; set it: select backfill.set_price(%L, %L, 0.001)',
                             v_one.provider, v_one.operation, v_one.provider, v_one.operation);
            return next;
            continue;
        end if;
        verdict := 'go';
        for v_budget in
            select null::text as per, v_most as most, s.* from backfill.run_spend(v_run.task, v_run.id) s where v_most is not null
            union all
            select b.per, b.usd, s.* from backfill.task_budget b cross join lateral backfill.task_spend(b.task, b.per) s where b.task = v_run.task
        loop
            if usd > 0 and v_budget.used + v_budget.unknown + v_budget.held + usd > v_budget.most then
                if v_budget.used + v_budget.unknown + usd > v_budget.most then
                    verdict := 'spent';
                    reason := backfill.note_spent_out(v_run, v_budget.per, v_budget.most, v_budget.used, v_budget.unknown, usd);
                elsif verdict = 'go' then
                    verdict := 'wait';
                    reason := 'budget: calls that others make hold what is left';
                end if;
            end if;
        end loop;
        if verdict = 'go' then
            update backfill.task_budget b set needed = null where b.task = v_run.task and b.needed is not null and intend.usd > 0;
            insert into backfill.effect (id, task, key, attempt, run_id, runner_id, provider, operation, region, subject, reference, payer, usd)
            values (v_one.id, v_run.task, v_one.key, v_attempt, v_run.id, p_runner, v_one.provider, v_one.operation,
                    v_one.region, v_one.subject, v_one.reference, v_one.payer, usd)
            -- the first of two that were sent, whose connection was cut, may be under way still
            on conflict on constraint effect_pkey do nothing;
        end if;
        return next;
    end loop;
end $$;
comment on function backfill.intend(bigint, jsonb, jsonb) is
    'Writes the intent of calls, for rows that the process holds: an array of id, key, attempt (null: whichever it is at), provider, operation, region, subject, reference, payer, usd (null: by the price). verdict: go, wait (others hold what is left of a budget), spent (it is used up, which stops claims), lost (the row is not the process''s any more) or unpriced. First it notes what became of earlier ones, as note_effects() does. Harmless when done twice.';

create function backfill.note_spent_out(p_run backfill.run, p_per text, p_most numeric, p_used numeric, p_unknown numeric, p_needed numeric)
returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_detail jsonb := jsonb_build_object('meter', 'cost', 'most', p_most, 'used', p_used, 'unknown', p_unknown, 'needed', p_needed);
begin
    if p_per is null then
        update backfill.run r set spent_out = 'cost' where r.id = p_run.id and r.spent_out is null;
        if found then
            perform backfill.log_event('budget', p_run.task, p_run.id, v_detail);
        end if;
        return 'the run''s budget of cost is used up';
    end if;
    if backfill.budget_reason(p_run.task) is null then
        perform backfill.log_event('budget', p_run.task, p_run.id, v_detail || jsonb_build_object('per', p_per));
    end if;
    update backfill.task_budget b set needed = p_needed where b.task = p_run.task and b.per = p_per and b.needed is distinct from p_needed;
    -- null where something was given back at this very moment
    return coalesce(backfill.budget_reason(p_run.task), 'the task''s budget is used up');
end $$;
comment on function backfill.note_spent_out(backfill.run, text, numeric, numeric, numeric, numeric) is
    'Notes that too little is left of a budget for a call, so that no more jobs are handed out; returns it in words. Called by intend().';
