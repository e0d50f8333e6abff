-- pgbackfill, engine: budgets of a run that hold across its processes
--
-- A run whose options say max_bytes has a budget of the meter "bytes". Before it spends, a process
-- reserves what it expects, and afterwards it says what was used. Nothing is given out beyond the
-- budget; what a process that died had reserved is free again, what it had used is not.
-- A reservation has a name that the process gives it, so that a statement sent twice counts once.
--
-- Lock order: runner row (key share), run row, then the reservation and the meter of one process.

alter table backfill.run
    add column spent_out text,
    drop constraint run_exit_reason_is_known,
    add constraint run_exit_reason_is_known check (exit_reason in
        ('done', 'limit', 'budget', 'max_duration', 'paused', 'cancelled', 'interrupted', 'lost', 'error'));
comment on column backfill.run.spent_out is 'The meter whose budget is used up, so that no more jobs are handed out; null: none.';
comment on column backfill.run.exit_reason is 'Why it ended: done, limit, budget, max_duration, paused, cancelled, interrupted, lost (all its processes died) or error.';

create table backfill.run_meter (
    runner_id bigint not null references backfill.runner (id) on delete cascade,
    meter     text not null,
    used      numeric not null,
    primary key (runner_id, meter),
    constraint run_meter_name_is_a_word check (meter ~ '^[a-z][a-z0-9_]*$' and length(meter) <= 50),
    constraint run_meter_does_not_go_back check (used >= 0 and used < 'Infinity')
);
comment on table backfill.run_meter is 'What a process has used of its run''s budgets, whatever became of the rows.';
comment on column backfill.run_meter.runner_id is 'The process.';
comment on column backfill.run_meter.meter is 'What is metered: bytes.';
comment on column backfill.run_meter.used is 'How much it used.';

create table backfill.reservation (
    id        uuid primary key,
    runner_id bigint not null references backfill.runner (id) on delete cascade,
    meter     text not null,
    amount    numeric not null,
    constraint reservation_is_of_something check (amount > 0)
);
create index reservation_by_runner on backfill.reservation (runner_id);
comment on table backfill.reservation is 'What processes are about to use of their run''s budgets; of no account once its process is gone.';
comment on column backfill.reservation.id is 'A name that the process gave it.';
comment on column backfill.reservation.runner_id is 'The process.';
comment on column backfill.reservation.meter is 'What is metered.';
comment on column backfill.reservation.amount is 'How much is reserved.';

create function backfill.reserve(
    p_id uuid, p_runner bigint, p_meter text, p_amount numeric, p_at_least numeric default null,
    out reserved numeric, out spent_out boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_runner backfill.runner;
    v_run backfill.run;
    v_said text;
    v_most numeric;
    v_used numeric;
    v_held numeric;
begin
    spent_out := false;
    if (p_amount > 0 and p_amount < 'Infinity' and p_at_least > 0 and p_at_least <= p_amount) is false then
        raise exception 'an amount of % (at least %) can''t be reserved', p_amount, p_at_least using errcode = '22023', hint = 'reserve a number above 0';
    end if;
    select * into v_runner from backfill.runner w where w.id = p_runner for key share;
    if v_runner.status is distinct from 'live' then
        -- what it reserves would not be counted; it has to join the run anew
        return;
    end if;
    select * into strict v_run from backfill.run r where r.id = v_runner.run_id;
    v_said := v_run.options ->> ('max_' || p_meter);
    if v_said is null then
        reserved := p_amount;
        return;
    end if;
    if v_said !~ '^[0-9]+([.][0-9]+)?$' or v_said ~ '^[0.]+$' then
        raise exception 'run %: its option max_% should be a number above 0 and is %', v_run.id, p_meter, quote_literal(v_said)
            using errcode = 'BF007', hint = format('start another one: backfill run %s', v_run.task);
    end if;
    v_most := v_said::numeric;
    perform from backfill.run r where r.id = v_run.id for no key update;
    -- in one statement: what is settled meanwhile is in one of the two sums
    select (select coalesce(sum(m.used), 0) from backfill.run_meter m join backfill.runner w on w.id = m.runner_id
             where w.run_id = v_run.id and m.meter = p_meter),
           (select coalesce(sum(x.amount), 0) from backfill.reservation x join backfill.runner w on w.id = x.runner_id
             where w.run_id = v_run.id and w.status = 'live' and x.meter = p_meter and x.id <> p_id)
      into v_used, v_held;
    if v_most - v_used - v_held >= coalesce(p_at_least, p_amount) then
        reserved := least(p_amount, v_most - v_used - v_held);
        insert into backfill.reservation as x (id, runner_id, meter, amount) values (p_id, p_runner, p_meter, reserved)
        on conflict (id) do update set amount = excluded.amount;
        return;
    end if;
    -- what others have reserved and will not use may be had later; what is used is gone
    spent_out := v_most - v_used < coalesce(p_at_least, p_amount);
    if spent_out then
        update backfill.run r set spent_out = p_meter where r.id = v_run.id and r.spent_out is null;
        if found then
            perform backfill.log_event('budget', v_run.task, v_run.id, jsonb_build_object('meter', p_meter, 'most', v_most, 'used', v_used));
        end if;
    end if;
end $$;
comment on function backfill.reserve(uuid, bigint, text, numeric, numeric) is
    'Reserves an amount of the budget that the run''s option max_<meter> sets, or what is left of it where that is p_at_least. reserved is null where there is too little: for now, or for good (spent_out), which stops the run''s claims; and where the process was presumed dead. Harmless when done twice.';

create function backfill.settle(p_id uuid, p_used numeric)
returns void language sql security definer set search_path = pg_catalog, pg_temp as $$
    with settled as (
        delete from backfill.reservation x where x.id = p_id returning x.runner_id, x.meter
    )
    insert into backfill.run_meter as m (runner_id, meter, used)
    select s.runner_id, s.meter, p_used from settled s where p_used > 0
    on conflict (runner_id, meter) do update set used = m.used + excluded.used
$$;
comment on function backfill.settle(uuid, numeric) is 'Says what was used of a reservation, which may be more, and ends it. Harmless when done twice.';

create or replace function backfill.claim(
    p_runner bigint, p_want integer, p_after bigint default 0, p_due_after timestamptz default null,
    p_alone boolean default false,
    out status text, out reason text, out batch_size integer, out delay_ms integer,
    out solo boolean, out solo_waiting boolean, out stock bigint, out look_ahead integer,
    out last_id bigint, out last_due timestamptz, out jobs json)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_runner backfill.runner;
    v_run backfill.run;
    v_task backfill.task;
    v_left bigint := p_want;
    v_first backfill.job;
    -- Places of rows that this transaction has locked, which cannot move while it lasts: going back
    -- to them by place saves a descent of the primary key for each.
    v_places tid[] := '{}';
    v_found tid[];
begin
    solo := false;
    solo_waiting := false;
    stock := 0;
    last_id := p_after;
    last_due := p_due_after;
    jobs := '[]';
    select * into v_runner from backfill.runner r where r.id = p_runner for key share;
    if v_runner.status is distinct from 'live' then
        status := 'lost';
        reason := 'this process was presumed dead and its jobs were given back';
        return;
    end if;
    select * into v_run from backfill.run r where r.id = v_runner.run_id;
    select * into v_task from backfill.task t where t.name = v_run.task;
    batch_size := coalesce(v_run.batch_size, v_task.batch_size);
    delay_ms := coalesce(v_run.delay_ms, v_task.delay_ms);
    look_ahead := v_task.look_ahead;
    if v_run.status <> 'running' then
        status := 'cancelled';
        reason := case when v_run.status = 'ended' then format('run %s has ended (%s)', v_run.id, v_run.exit_reason)
                       else format('run %s was cancelled', v_run.id) end;
        return;
    end if;
    if v_task.paused_at is not null then
        status := 'paused';
        reason := format('paused by %s', v_task.paused_by) || coalesce(': ' || v_task.paused_reason, '');
        return;
    end if;
    if v_task.version <> v_runner.task_version then
        status := 'version';
        reason := format('task %s is at version %s in the database and at %s in this process', v_task.name, v_task.version, v_runner.task_version);
        return;
    end if;
    if v_run.spent_out is not null then
        status := 'budget';
        reason := format('the run''s budget (max_%s) is used up', v_run.spent_out);
        return;
    end if;
    if v_run.max_jobs is not null then
        select r.* into v_run from backfill.run r where r.id = v_run.id for no key update;
        v_left := v_run.max_jobs - v_run.taken;
    end if;

    if p_alone then
        select * into v_first from backfill.job j
         where j.task = v_run.task and j.lane = v_run.lane and j.state = 'ready' and j.solo and (v_left > 0 or j.run_id = v_run.id)
         order by j.id limit 1 for update skip locked;
        if found then
            -- Beside it none but suspects that crashes have narrowed down as far as this one.
            select array_agg(j.place) into v_found from (
                select ctid as place from backfill.job
                 where task = v_run.task and lane = v_run.lane and state = 'ready' and job.solo and (v_left > 0 or run_id = v_run.id)
                   and id >= v_first.id and suspects = v_first.suspects
                 order by id
                 limit least(v_first.suspects, p_want, case when v_left > 0 then v_left end)
                 for update skip locked) j;
            v_places := coalesce(v_found, '{}');
        end if;
        solo := cardinality(v_places) > 0;
    else
        solo_waiting := exists (
            select from backfill.job
             where task = v_run.task and lane = v_run.lane and state = 'ready' and job.solo and (v_left > 0 or run_id = v_run.id));
    end if;
    if not solo then
        select array_agg(j.place), max(j.run_after) into v_found, last_due from (
            select ctid as place, run_after from backfill.job
             where task = v_run.task and lane = v_run.lane and state = 'ready'
               and run_after is not null and run_after <= clock_timestamp() and run_after >= coalesce(p_due_after, '-infinity')
               and (v_left > 0 or run_id = v_run.id)
             order by run_after
             limit case when v_left > 0 then least(p_want, v_left) else p_want end
             for update skip locked) j;
        v_places := coalesce(v_found, '{}');
        last_due := coalesce(last_due, p_due_after);
        v_left := least(v_left, p_want) - cardinality(v_places);
        if v_left > 0 then
            select array_agg(j.place), max(j.id) into v_found, last_id from (
                select ctid as place, id from backfill.job
                 where task = v_run.task and lane = v_run.lane and state = 'ready'
                   and run_after is null and not job.solo and id > p_after
                 order by id limit v_left for update skip locked) j;
            v_places := v_places || coalesce(v_found, '{}');
            last_id := coalesce(last_id, p_after);
        end if;
    end if;

    if cardinality(v_places) = 0 then
        status := case when v_run.max_jobs is not null and v_run.taken >= v_run.max_jobs then 'limit' else 'none' end;
        reason := case when status = 'limit' then format('the run''s limit of %s is taken', v_run.max_jobs) else 'nothing is ready' end;
        return;
    end if;
    status := 'jobs';
    if v_run.max_jobs is not null then
        -- A job counts against the limit once, however often this run takes it.
        update backfill.run r
           set taken = r.taken + (select count(*) from backfill.job j where j.ctid = any (v_places) and j.run_id is distinct from v_run.id)
         where r.id = v_run.id;
    end if;
    with claimed as (
        update backfill.job j
           set state = 'running', attempt = j.attempt + 1, runner_id = p_runner, run_id = v_run.id,
               claimed_at = clock_timestamp(), run_after = null
         where j.ctid = any (v_places)
        returning j.id, j.key, j.attempt
    ), with_input as (
        select c.id, c.key, c.attempt, i.revision, i.input
          from claimed c
          left join backfill.inputs(v_run.task, array(select key from claimed)) i on i.key = c.key
    )
    select json_agg(json_build_object('id', w.id, 'key', w.key, 'attempt', w.attempt, 'revision', w.revision, 'input', w.input) order by w.id)
      into jobs from with_input w;
    -- Jobs are handed out in order of id, so what lies between here and the last one enqueued is
    -- what is still in stock; nothing has to be counted.
    select greatest(s.last_job_id - last_id, 0) into stock from backfill.sweep s where s.task = v_run.task and s.lane = v_run.lane;
    stock := coalesce(stock, 0);
end $$;
comment on function backfill.claim(bigint, integer, bigint, timestamptz, boolean) is
    'Takes up to p_want jobs for a runner and says how to go on. status: jobs, none, limit, budget, paused, cancelled, version or lost. p_alone: the process holds nothing else and may take orphans of a crash, as many as may be tried together. last_id and last_due are to be handed to the next claim.';
