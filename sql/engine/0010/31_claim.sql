-- pgbackfill, engine: claim() as it was, but for a task's hours, and for runs that do new rows only
--
-- Index and lock order are those of revision 8; the window is one look by primary key.

create or replace function backfill.claim(
    p_runner bigint, p_want integer, p_after bigint default 0, p_due_after timestamptz default null,
    p_alone boolean default false,
    out status text, out reason text, out batch_size integer, out delay_ms integer,
    out solo boolean, out solo_waiting boolean, out stock bigint, out look_ahead integer,
    out last_id bigint, out last_due timestamptz, out jobs json, out slow_by double precision, out due_guards json)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_runner backfill.runner;
    v_run backfill.run;
    v_task backfill.task;
    v_left bigint := p_want;
    v_first backfill.job;
    v_spent text;
    -- Places of rows that this transaction has locked, which cannot move while it lasts: going back
    -- to them by place saves a descent of the primary key for each.
    v_places tid[] := '{}';
    v_found tid[];
    v_effects jsonb := '{}';
    v_guards record;
    v_slowed text;
begin
    solo := false;
    solo_waiting := false;
    stock := 0;
    last_id := p_after;
    last_due := p_due_after;
    jobs := '[]';
    slow_by := 1;
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
        -- what no row can be done for is nothing to wait for
        status := case when v_task.paused_by like 'process % on %' then 'halted' else 'paused' end;
        reason := format('paused by %s', v_task.paused_by) || coalesce(': ' || v_task.paused_reason, '');
        return;
    end if;
    if v_task.version <> v_runner.task_version then
        status := 'version';
        reason := format('task %s is at version %s in the database and at %s in this process', v_task.name, v_task.version, v_runner.task_version);
        return;
    end if;
    -- who asks for no row asks for new ones, which have no hours
    if p_want > 0 and not v_run.standing and exists (select from backfill.task_window w where w.task = v_task.name) then
        reason := backfill.window_reason(v_task.name);
        if reason is not null then
            status := 'held';
            return;
        end if;
    end if;
    if exists (select from backfill.guard g where g.task is null or g.task = v_task.name) then
        v_guards := backfill.guard_now(v_task.name);
        if v_guards.due then
            due_guards := backfill.take_guards(v_task.name);
        end if;
        if due_guards is not null then
            status := 'guards';
            reason := 'guards are to be evaluated';
            return;
        end if;
        if v_guards.state = 'hold' then
            status := 'held';
            reason := v_guards.reason;
            return;
        end if;
        slow_by := v_guards.slow_by;
        v_slowed := v_guards.reason;
    end if;
    if v_run.spent_out is not null then
        status := 'budget';
        reason := format('the run''s budget (max_%s) is used up', v_run.spent_out);
        return;
    end if;
    v_spent := backfill.budget_reason(v_task.name);
    if v_run.max_jobs is not null then
        select r.* into v_run from backfill.run r where r.id = v_run.id for no key update;
        v_left := v_run.max_jobs - v_run.taken;
    end if;
    if v_run.standing then
        -- the backlog is not its business, nor its money; rows that it had in hand are
        v_left := 0;
    end if;

    if v_spent is not null then
        -- What may have been charged by calls that nobody knows the end of counts as spent, until their
        -- rows say what they found: those are handed out all the same, one at a time.
        select array[j.ctid], j.solo into v_found, solo from backfill.job j
         where j.task = v_run.task and j.lane = v_run.lane and j.state = 'ready' and (p_alone or not j.solo)
           and (j.run_after is null or j.run_after <= clock_timestamp()) and (v_left > 0 or j.run_id = v_run.id)
           and j.key = any (array(select e.key from backfill.effect e where e.task = v_run.task and e.state = 'intended'))
         order by j.id limit 1 for update skip locked;
        if not found then
            solo := false;
            status := 'budget';
            reason := v_spent;
            return;
        end if;
        v_places := v_found;
    else
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
    end if;

    if cardinality(v_places) = 0 then
        status := case when v_run.max_jobs is not null and v_run.taken >= v_run.max_jobs then 'limit' else 'none' end;
        reason := case when status = 'limit' then format('the run''s limit of %s is taken', v_run.max_jobs) else 'nothing is ready' end;
        return;
    end if;
    status := 'jobs';
    reason := v_slowed;
    if v_run.max_jobs is not null then
        -- A job counts against the limit once, however often this run takes it.
        update backfill.run r
           set taken = r.taken + (select count(*) from backfill.job j where j.ctid = any (v_places) and j.run_id is distinct from v_run.id)
         where r.id = v_run.id;
    end if;
    -- Mostly there are none, and then this is a look into an empty index.
    if exists (select from backfill.effect e where e.task = v_run.task and e.state in ('intended', 'answered')) then
        select coalesce(jsonb_object_agg(x.key, x.effects), '{}') into v_effects from (
            select e.key, jsonb_agg(jsonb_build_object(
                       'id', e.id, 'state', e.state, 'provider', e.provider, 'operation', e.operation, 'region', e.region,
                       'subject', e.subject, 'reference', e.reference, 'usd', e.usd, 'attempt', e.attempt) order by e.intended_at, e.id) as effects
              from backfill.job j join backfill.effect e on e.task = v_run.task and e.key = j.key and e.state in ('intended', 'answered')
             where j.ctid = any (v_places)
             group by e.key) x;
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
    select json_agg(json_build_object('id', w.id, 'key', w.key, 'attempt', w.attempt, 'revision', w.revision, 'input', w.input, 'effects', v_effects -> w.key) order by w.id)
      into jobs from with_input w;
    -- Jobs are handed out in order of id, so what lies between here and the last one enqueued is
    -- what is still in stock; nothing has to be counted.
    select greatest(s.last_job_id - last_id, 0) into stock from backfill.sweep s where s.task = v_run.task and s.lane = v_run.lane;
    stock := coalesce(stock, 0);
end $$;
comment on function backfill.claim(bigint, integer, bigint, timestamptz, boolean) is
    'Takes up to p_want jobs for a runner and says how to go on. status: jobs, none, limit, budget, paused, held (by a guard, or outside the task''s window), guards (evaluate those of due_guards, and claim again), halted (by a process: nobody waits), cancelled, version or lost. slow_by: how many times slower guards want it, with the reason. p_alone: the process holds nothing else and may take orphans of a crash, as many as may be tried together. last_id and last_due are to be handed to the next claim. A job''s effects are those that earlier attempts left unsettled.';
