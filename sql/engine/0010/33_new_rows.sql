-- pgbackfill, engine: a run that is there for new rows only makes no sweep
--
-- sweep_open() and claim_new() as they were, but for such a run. What came in such numbers that a sweep is to
-- find it, it leaves to the next run: a sweep would find the backlog as well.

create or replace function backfill.sweep_open(p_run bigint, out state text, out reached text, out high text, out fresh boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_run backfill.run := backfill.known_run(p_run);
    v_sweep backfill.sweep;
begin
    if v_run.status = 'ended' or v_run.standing then
        state := 'ended';
        return;
    end if;
    select * into v_sweep from backfill.sweep s
     where s.task = v_run.task and s.lane = v_run.lane for update skip locked;
    if not found then
        state := 'busy';
        return;
    end if;
    -- Rows that came to need work behind a sweep's position belong to the next one, so a run is
    -- done with a sweep that began after the run itself did.
    if v_sweep.ended_at is not null and v_sweep.began_at >= v_run.started_at then
        state := 'ended';
        return;
    end if;
    fresh := v_sweep.began_at is null or v_sweep.ended_at is not null;
    if fresh then
        update backfill.sweep s
           set reached = null, high = null, scanned = 0, enqueued = 0, began_at = clock_timestamp(), ended_at = null
         where s.task = v_run.task and s.lane = v_run.lane;
    else
        reached := v_sweep.reached;
        high := v_sweep.high;
    end if;
    if v_sweep.counted_by is null or v_sweep.counted_by < p_run then
        update backfill.sweep s
           set counted_by = p_run, to_come = v_run.found_new, again = v_run.found_again
         where s.task = v_run.task and s.lane = v_run.lane;
    end if;
    state := 'open';
end $$;
comment on function backfill.sweep_open(bigint) is 'Locks the run''s sweep until the transaction ends, beginning a new one where the last is over: open, busy (another process has it) or ended. Called by discover().';

create or replace function backfill.claim_new(
    p_runner bigint, p_want integer, p_after bigint default 0,
    out status text, out reason text, out watched boolean, out sweep boolean,
    out batch_size integer, out delay_ms integer, out seen integer, out last_id bigint, out jobs json, out due_guards json)
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO, YMD' as $$
declare
    v_claim record;
    v_run backfill.run;
    v_task backfill.task;
    v_look record;
    v_found record;
    v_new bigint[];
    v_again bigint[];
    v_effects jsonb := '{}';
begin
    watched := false;
    sweep := false;
    seen := 0;
    last_id := p_after;
    jobs := '[]';
    v_claim := backfill.claim(p_runner, 0);
    status := v_claim.status;
    reason := v_claim.reason;
    batch_size := v_claim.batch_size;
    delay_ms := v_claim.delay_ms;
    due_guards := v_claim.due_guards;
    if status <> 'none' then
        -- Where a budget is used up it hands out a row that may free some of it, though asked for none.
        jobs := v_claim.jobs;
        return;
    end if;
    select r.* into strict v_run from backfill.runner w join backfill.run r on r.id = w.run_id where w.id = p_runner;
    watched := v_run.lane = 0 and v_run.max_jobs is null
               and exists (select from backfill.input i where i.task = v_run.task and i.watched_since is not null);
    if not watched then
        return;
    end if;
    select array_agg(a.place) as places, array_agg(distinct a.key) filter (where a.key is not null) as keys,
           count(*)::integer as number, max(a.id) as last, bool_or(a.key is null) as many
      into v_look
      from (select x.ctid as place, x.id, x.key from backfill.arrival x
             where x.task = v_run.task and x.id > p_after
             order by x.id limit p_want for update skip locked) a;
    seen := v_look.number;
    if seen = 0 then
        return;
    end if;
    last_id := v_look.last;
    select * into strict v_task from backfill.task t where t.name = v_run.task;
    if v_look.many and not v_run.standing then
        sweep := backfill.sweep_anew(v_run.task);
    end if;

    -- Row and job are read in one statement: what is finished and in the view at one moment is to be done
    -- again, if nobody has claimed it since.
    execute format(
        'select coalesce(array_agg(x.key order by x.native_key) filter (where x.id is null), ''{}'') as new_keys, '
        'coalesce(array_agg(x.revision order by x.native_key) filter (where x.id is null), ''{}'') as new_revisions, '
        'coalesce(array_agg(x.id order by x.id) filter (where x.takes), ''{}'') as ids, '
        'coalesce(array_agg(x.attempt order by x.id) filter (where x.takes), ''{}'') as attempts, '
        'coalesce(array_agg(x.state order by x.id) filter (where x.takes), ''{}'') as states, '
        'coalesce(array_agg(x.revision order by x.id) filter (where x.takes), ''{}'') as revisions, '
        'coalesce(array_agg(x.key) filter (where x.id is null or x.takes or x.state = ''running''), ''{}'') as wanted '
        'from (select n.key, n.revision, n.native_key, j.id, j.attempt, j.state, '
        -- what waits for another try does so until it is due, unless it is another input by now
        '(j.state = ''ready'' and not j.solo and backfill.open_lane(j.lane) = 0 and (j.run_after is null or j.run_after <= clock_timestamp() or j.revision is distinct from n.revision)) '
        'or backfill.needs_again(j.state, j.error_class, j.revision, j.task_version, n.revision, $2, false) as takes '
        'from backfill.%I n left join backfill.job j on j.task = $1 and j.key = n.key '
        'where n.native_key = any (array(select u.key::%s from unnest($3) as u (key)))) x',
        'needs_' || v_run.task, backfill.native_type(v_run.task))
        into v_found using v_run.task, v_task.version, v_look.keys;

    with added as (
        insert into backfill.job (task, key, state, attempt, runner_id, run_id, claimed_at, revision, task_version)
        select v_run.task, u.key, 'running', 1, p_runner, v_run.id, clock_timestamp(), u.revision, v_task.version
          from unnest(v_found.new_keys, v_found.new_revisions) with ordinality as u (key, revision, place)
         where not exists (select from backfill.job j where j.task = v_run.task and j.key = u.key)
         order by u.place
        on conflict (task, key) do nothing
        returning id
    )
    select coalesce(array_agg(a.id), '{}') into v_new from added a;
    with chosen as materialized (
        select j.id, j.state as former, c.revision, j.state <> 'ready' or j.revision is distinct from c.revision as afresh
          from unnest(v_found.ids, v_found.attempts, v_found.states, v_found.revisions) as c (id, attempt, state, revision)
          join backfill.job j on j.id = c.id
         where j.attempt = c.attempt and j.state = c.state
         order by j.id for update of j skip locked
    ), taken as (
        update backfill.job j
           set state = 'running', attempt = j.attempt + 1, runner_id = p_runner, run_id = v_run.id, claimed_at = clock_timestamp(),
               run_after = null, finished_at = null, lane = 0, revision = c.revision, task_version = v_task.version,
               failures = case when c.afresh then 0 else j.failures end,
               error_class = case when not c.afresh then j.error_class end,
               error_message = case when not c.afresh then j.error_message end,
               enqueued_at = case when c.former = 'ready' then j.enqueued_at else now() end
          from chosen c
         where j.id = c.id
        returning j.id, c.former
    ), corrected as (
        update backfill.tally t
           set ok = t.ok - s.ok, nothing_found = t.nothing_found - s.nothing_found, skipped = t.skipped - s.skipped, failed = t.failed - s.failed
          from (select count(*) filter (where former = 'ok') as ok, count(*) filter (where former = 'nothing_found') as nothing_found,
                       count(*) filter (where former = 'skipped') as skipped, count(*) filter (where former = 'failed') as failed
                  from taken where former <> 'ready' having count(*) > 0) s
         where t.task = v_run.task
    )
    select coalesce(array_agg(t.id), '{}') into v_again from taken t;

    -- What somebody has in hand may have been read before it changed, so its arrival stays until that is
    -- finished; so does one that stands for very many rows, until a sweep can begin.
    delete from backfill.arrival a
     where a.ctid = any (v_look.places)
       and case when a.key is null then sweep
                else not (a.key = any (v_found.wanted))
                     or exists (select from backfill.job j where j.task = v_run.task and j.key = a.key and j.id = any (v_new || v_again)) end;

    if cardinality(v_new) + cardinality(v_again) = 0 then
        return;
    end if;
    status := 'jobs';
    if exists (select from backfill.effect e where e.task = v_run.task and e.state in ('intended', 'answered')) then
        select coalesce(jsonb_object_agg(x.key, x.effects), '{}') into v_effects from (
            select e.key, jsonb_agg(jsonb_build_object(
                       'id', e.id, 'state', e.state, 'provider', e.provider, 'operation', e.operation, 'region', e.region,
                       'subject', e.subject, 'reference', e.reference, 'usd', e.usd, 'attempt', e.attempt) order by e.intended_at, e.id) as effects
              from backfill.job j join backfill.effect e on e.task = v_run.task and e.key = j.key and e.state in ('intended', 'answered')
             where j.id = any (v_new || v_again)
             group by e.key) x;
    end if;
    with claimed as (
        select j.id, j.key, j.attempt from backfill.job j where j.id = any (v_new || v_again)
    )
    select json_agg(json_build_object('id', c.id, 'key', c.key, 'attempt', c.attempt, 'revision', i.revision, 'input', i.input, 'effects', v_effects -> c.key) order by c.id)
      into jobs
      from claimed c left join backfill.inputs(v_run.task, array(select key from claimed)) i on i.key = c.key;
end $$;
comment on function backfill.claim_new(bigint, integer, bigint) is
    'Looks at up to p_want rows that were noted as new or changed after p_after, and hands out those that need work and are in nobody''s hands. status: jobs, or what claim() would say (guards: evaluate those of due_guards, and ask again). watched: whether this run takes new rows at all. sweep: very many came at once, and are to be swept. seen: how many it looked at, up to last_id, which is to be handed to the next call.';
