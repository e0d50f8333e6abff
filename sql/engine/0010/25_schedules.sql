-- pgbackfill, engine: schedules
--
-- A schedule is a row that an operator may set, here too by a plain update. Workers plan it (when it is due
-- next is worked out in Python, which knows cron and time zones) and fire it. Of many workers one fires a
-- tick: whoever moves next_at on, in the transaction that starts the run and writes the tick's row.
--
-- Lock order: schedule row, task row (see start()).

create table backfill.schedule (
    name         text primary key,
    task         text not null references backfill.task (name) on delete cascade,
    cron         text not null,
    timezone     text not null default 'UTC',
    options      jsonb not null default '{}',
    enabled      boolean not null default true,
    planned      boolean not null default false,
    next_at      timestamptz,
    last_at      timestamptz,
    last_run     bigint,
    note         text,
    set_by       text not null,
    set_at       timestamptz not null default clock_timestamp(),
    condition_by text not null,
    constraint schedule_name_is_plain check (name ~ '^[A-Za-z0-9][A-Za-z0-9 _.:-]{0,62}$'),
    constraint schedule_cron_has_5_or_6_fields check (cron ~ '^[^[:space:]]+( [^[:space:]]+){4,5}$' and length(cron) <= 200),
    constraint schedule_options_are_an_object check (jsonb_typeof(options) = 'object'),
    constraint schedule_next_is_planned check (next_at is null or planned)
);
create index schedule_by_task on backfill.schedule (task);
comment on table backfill.schedule is 'When runs are to be started by workers.';
comment on column backfill.schedule.name is 'Its name.';
comment on column backfill.schedule.task is 'The task to run.';
comment on column backfill.schedule.cron is 'When: minute, hour, day of month, month, day of week, and where there are six fields, second.';
comment on column backfill.schedule.timezone is 'In which time zone, such as Europe/Berlin.';
comment on column backfill.schedule.options is 'Of the runs: limit, where, retry_failed, batch_size, delay_ms, processes, beside; all others are for the computation.';
comment on column backfill.schedule.enabled is 'Whether it is to be fired.';
comment on column backfill.schedule.planned is 'Whether a worker has worked out next_at since it was set.';
comment on column backfill.schedule.next_at is 'When it is due next; null: not known yet, or never.';
comment on column backfill.schedule.last_at is 'The time that it was last fired for.';
comment on column backfill.schedule.last_run is 'The last run that it started.';
comment on column backfill.schedule.note is 'What a worker can''t make of it.';
comment on column backfill.schedule.set_by is 'Who set it.';
comment on column backfill.schedule.set_at is 'When.';
comment on column backfill.schedule.condition_by is 'The login that set the condition in its options; only workers of that login fire it.';

create table backfill.tick (
    schedule text not null references backfill.schedule (name) on update cascade on delete cascade,
    at       timestamptz not null,
    fired_at timestamptz not null default clock_timestamp(),
    worker   bigint,
    outcome  text not null,
    run      bigint,
    reason   text,
    primary key (schedule, at),
    constraint tick_outcome_is_known check (outcome in (
        'started',  -- a run was started
        'skipped',  -- a run of the task was live, or the task was paused
        'failed'    -- start() refused it
    )),
    constraint tick_started_has_a_run check ((outcome = 'started') = (run is not null))
);
create index tick_by_age on backfill.tick (fired_at);
comment on table backfill.tick is 'One row for each time that a schedule was fired; kept for 30 days.';
comment on column backfill.tick.schedule is 'The schedule.';
comment on column backfill.tick.at is 'When it was due.';
comment on column backfill.tick.fired_at is 'When a worker fired it.';
comment on column backfill.tick.worker is 'Which one.';
comment on column backfill.tick.outcome is 'started, skipped or failed.';
comment on column backfill.tick.run is 'The run that it started.';
comment on column backfill.tick.reason is 'Why no run was started.';

create function backfill.schedule_is_set() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'DELETE' then
        perform backfill.log_event('drop_schedule', old.task, null, jsonb_build_object('schedule', old.name));
        return old;
    end if;
    new.set_by := backfill.actor();
    new.set_at := clock_timestamp();
    if backfill.token_name() is not null and nullif(btrim(new.options ->> 'where'), '') is not null then
        raise exception 'a token''s schedule has no condition of its own' using errcode = 'BF013', hint = 'the task''s options stand for conditions';
    end if;
    if tg_op = 'INSERT' or (new.task, new.options -> 'where') is distinct from (old.task, old.options -> 'where') then
        new.condition_by := session_user;
    end if;
    if tg_op = 'INSERT' or (new.cron, new.timezone, new.enabled) is distinct from (old.cron, old.timezone, old.enabled) then
        new.planned := false;
        new.next_at := null;
        new.note := null;
    end if;
    perform backfill.log_event('set_schedule', new.task, null, jsonb_build_object(
        'schedule', new.name, 'cron', new.cron, 'timezone', new.timezone, 'options', new.options, 'enabled', new.enabled));
    return new;
end $$;
comment on function backfill.schedule_is_set() is 'Lets workers plan a schedule that was set or changed, and puts it into the audit.';
create trigger schedule_is_new before insert or delete on backfill.schedule
    for each row execute function backfill.schedule_is_set();
comment on trigger schedule_is_new on backfill.schedule is 'A new schedule is planned by the next worker that looks; one that is dropped leaves its event.';
create trigger schedule_is_changed before update of task, cron, timezone, options, enabled on backfill.schedule
    for each row when ((new.task, new.cron, new.timezone, new.options, new.enabled) is distinct from (old.task, old.cron, old.timezone, old.options, old.enabled))
    execute function backfill.schedule_is_set();
comment on trigger schedule_is_changed on backfill.schedule is 'An operator may set it by a plain update, which is planned anew and leaves its event.';

create function backfill.set_schedule(p_name text, p_task text, p_cron text, p_options jsonb default '{}', p_timezone text default 'UTC')
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_cron text := regexp_replace(btrim(p_cron), '\s+', ' ', 'g');
begin
    perform backfill.known_task(p_task);
    perform backfill.group_limit(p_task, p_options), backfill.run_seats(p_options);
    if v_cron !~ '^\S+( \S+){4,5}$' then
        raise exception 'a schedule has five fields, or six with seconds last, and not %', quote_literal(left(p_cron, 100))
            using errcode = 'BF013', hint = 'minute, hour, day of month, month, day of week; every ten minutes is: */10 * * * *';
    end if;
    begin
        perform clock_timestamp() at time zone p_timezone;
    exception when invalid_parameter_value then
        raise exception 'there is no time zone %', quote_literal(left(p_timezone, 100))
            using errcode = 'BF013', hint = 'names look like Europe/Berlin; see: select name from pg_timezone_names';
    end;
    update backfill.schedule s
       set task = p_task, cron = v_cron, options = coalesce(p_options, '{}'), timezone = p_timezone, enabled = true
     where s.name = p_name;
    if not found then
        insert into backfill.schedule (name, task, cron, options, timezone, set_by, condition_by)
        values (p_name, p_task, v_cron, coalesce(p_options, '{}'), p_timezone, session_user, session_user);
    end if;
end $$;
comment on function backfill.set_schedule(text, text, text, jsonb, text) is
    'Has workers start a run of a task at these times. A schedule of that name is set anew, and enabled. Options: limit, where, retry_failed, batch_size, delay_ms, processes, beside, and those of the computation.';

create function backfill.known_schedule(p_name text)
returns backfill.schedule language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_schedule backfill.schedule;
begin
    select * into v_schedule from backfill.schedule s where s.name = p_name;
    if not found then
        raise exception 'there is no schedule named %', quote_literal(left(p_name, 100))
            using errcode = 'BF013', hint = 'there are: ' || coalesce((select string_agg(s.name, ', ' order by s.name) from backfill.schedule s), 'none');
    end if;
    return v_schedule;
end $$;
comment on function backfill.known_schedule(text) is 'The schedule of that name; raises BF013 where there is none.';

create function backfill.drop_schedule(p_name text)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform backfill.known_schedule(p_name);
    delete from backfill.schedule s where s.name = p_name;
end $$;
comment on function backfill.drop_schedule(text) is 'Takes a schedule away, with what is known of its ticks; its runs stay.';

create function backfill.enable_schedule(p_name text, p_enabled boolean default true)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform backfill.known_schedule(p_name);
    update backfill.schedule s set enabled = p_enabled where s.name = p_name and s.enabled <> p_enabled;
end $$;
comment on function backfill.enable_schedule(text, boolean) is 'Has a schedule fired again, from now on, or no longer.';

create function backfill.plan_schedule(p_name text, p_set_at timestamptz, p_next timestamptz, p_note text)
returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update backfill.schedule s set planned = true, next_at = p_next, note = left(p_note, 300)
     where s.name = p_name and s.set_at = p_set_at and not s.planned;
    return found;
end $$;
comment on function backfill.plan_schedule(text, timestamptz, timestamptz, text) is 'A worker says when a schedule, as it was set then, is due for the first time; or, where that is null, why never.';

create function backfill.take_tick(p_name text, p_expected timestamptz, p_next timestamptz, p_at timestamptz)
returns backfill.schedule language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_schedule backfill.schedule;
begin
    -- a worker that is at it fires it
    update backfill.schedule s set next_at = p_next, last_at = p_at
     where s.name = (select x.name from backfill.schedule x where x.name = p_name for no key update skip locked) and s.next_at = p_expected and s.enabled and s.planned
       and p_at <= clock_timestamp() and (p_next is null or p_next > p_at)
       and not exists (select from backfill.tick t where t.schedule = p_name and t.at = p_at)
    returning * into v_schedule;
    return v_schedule;
end $$;
comment on function backfill.take_tick(text, timestamptz, timestamptz, timestamptz) is 'Moves a schedule on to its next time, if it still stands where it was expected; null otherwise. Called by fire_schedule().';

create function backfill.note_tick(p_name text, p_at timestamptz, p_worker bigint, p_outcome text, p_run bigint, p_reason text)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into backfill.tick (schedule, at, worker, outcome, run, reason) values (p_name, p_at, p_worker, p_outcome, p_run, left(p_reason, 500));
    if p_run is not null then
        update backfill.schedule s set last_run = p_run where s.name = p_name;
    end if;
end $$;
comment on function backfill.note_tick(text, timestamptz, bigint, text, bigint, text) is 'Writes down what became of a tick. Called by fire_schedule().';

create function backfill.end_run_of_nothing(p_run bigint)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_run backfill.run := backfill.known_run(p_run);
begin
    if v_run.found > 0 or not v_run.found_exact
       or exists (select from backfill.job j where j.task = v_run.task and j.state = 'ready' and j.run_after is null and not j.solo)
       or exists (select from backfill.job j where j.task = v_run.task and j.state = 'ready' and j.run_after is not null)
       or exists (select from backfill.job j where j.task = v_run.task and j.state = 'ready' and j.solo)
       or exists (select from backfill.job j where j.task = v_run.task and j.state = 'running') then
        return;
    end if;
    perform backfill.end_run(p_run, 'done');
end $$;
comment on function backfill.end_run_of_nothing(bigint) is 'Ends a run at once that found no row and no job to do: no process needs to be started for it. Called by fire_schedule().';

create function backfill.fire_schedule(p_name text, p_expected timestamptz, p_at timestamptz, p_next timestamptz, p_worker bigint default null,
                                       p_own text default null, p_refused text default null, out outcome text, out run bigint, out reason text)
-- who holds a task's row for long holds up that task's schedules alone
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    v_schedule backfill.schedule;
    v_options jsonb;
    v_task backfill.task;
    v_where text;
begin
    v_schedule := backfill.take_tick(p_name, p_expected, p_next, p_at);
    if v_schedule.name is null then
        outcome := 'taken';
        return;
    end if;
    v_options := v_schedule.options;
    v_where := nullif(btrim(v_options ->> 'where'), '');
    v_task := backfill.known_task(v_schedule.task);
    if p_refused is not null then
        outcome := 'failed';
        reason := p_refused;
    elsif v_task.paused_at is not null then
        outcome := 'skipped';
        reason := format('%s is paused by %s', v_task.name, v_task.paused_by);
    elsif v_where is not null and v_schedule.condition_by <> session_user then
        -- whose rights it would be evaluated with is not for its author to choose
        outcome := 'failed';
        reason := format('its condition is of %s''s, which is not evaluated with the rights of %s: run workers as %1$s, or let %2$s set it', v_schedule.condition_by, session_user);
    else
        begin
            run := backfill.start(
                v_schedule.task, v_options - '{limit,where,retry_failed,batch_size,delay_ms}'::text[],
                -- each in lines of its own: a condition may end in a comment
                case when v_where is null or p_own is null then coalesce(p_own, v_where) else format(E'(%s\n) and (%s\n)', p_own, v_where) end,
                nullif((v_options ->> 'limit')::bigint, 0), coalesce((v_options ->> 'retry_failed')::boolean, false),
                (v_options ->> 'batch_size')::integer, (v_options ->> 'delay_ms')::integer, 'schedule');
            outcome := 'started';
            perform backfill.end_run_of_nothing(run);
        exception
            when sqlstate 'BF011' then
                outcome := 'skipped';
                reason := sqlerrm;
            when serialization_failure or deadlock_detected or lock_not_available then
                raise;
            when others then
                outcome := 'failed';
                reason := sqlerrm;
        end;
    end if;
    perform backfill.note_tick(p_name, p_at, p_worker, outcome, run, reason);
end $$;
comment on function backfill.fire_schedule(text, timestamptz, timestamptz, timestamptz, bigint, text, text) is
    'Fires the tick p_at of a schedule that is expected to be due at p_expected, and moves it on to p_next; all in one transaction. outcome: started, skipped, failed, or taken: another worker was first, or the schedule was changed. A condition in its options that is not of this login''s is refused; p_own is the one that the task''s code makes of the others, and p_refused why it would not. Waits for no lock longer than a second.';

create view backfill.schedules as
select s.name, s.task, s.cron, s.timezone, s.options, s.enabled, s.next_at, s.last_at, s.last_run, t.outcome as last_outcome, t.reason as last_reason,
       case when not s.enabled then 'disabled'
            when s.note is not null then s.note
            when not exists (select from backfill.worker w where w.status = 'live') then 'no worker is there to fire it: backfill worker'
            when not s.planned then 'not planned yet'
            when s.next_at is null then 'it is never due again'
            when s.next_at < clock_timestamp() - interval '15 seconds' then 'it is late: look at the workers'' logs' end as note,
       s.set_by, s.set_at
  from backfill.schedule s
  left join backfill.tick t on t.schedule = s.name and t.at = s.last_at;
comment on view backfill.schedules is 'The schedules, when each is due, and what came of the last time.';
comment on column backfill.schedules.name is 'Its name.';
comment on column backfill.schedules.task is 'The task that it runs.';
comment on column backfill.schedules.cron is 'When: minute, hour, day of month, month, day of week, and perhaps second.';
comment on column backfill.schedules.timezone is 'In which time zone.';
comment on column backfill.schedules.options is 'Of its runs.';
comment on column backfill.schedules.enabled is 'Whether it is fired.';
comment on column backfill.schedules.next_at is 'When it is due next; null: not known yet, or never.';
comment on column backfill.schedules.last_at is 'The time that it was last fired for.';
comment on column backfill.schedules.last_run is 'The last run that it started.';
comment on column backfill.schedules.last_outcome is 'started, skipped (a run was live, or the task paused) or failed.';
comment on column backfill.schedules.last_reason is 'Why no run was started.';
comment on column backfill.schedules.note is 'What is wrong with it; null: nothing.';
comment on column backfill.schedules.set_by is 'Who set it.';
comment on column backfill.schedules.set_at is 'When.';
