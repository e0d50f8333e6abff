-- pgbackfill, engine: hours in which a task may run
--
-- Outside its window a task's rows are not handed out; its runs wait and go on by themselves. New rows of a
-- watched task are done at any hour.

create table backfill.task_window (
    task   text primary key references backfill.task (name) on delete cascade,
    opens  time not null,
    closes time not null,
    zone   text not null,
    set_by text not null,
    set_at timestamptz not null default clock_timestamp(),
    constraint task_window_has_a_length check (opens <> closes),
    constraint task_window_midnight_is_0_00 check (opens < '24:00' and closes < '24:00')
);
comment on table backfill.task_window is 'Hours in which a task''s rows are handed out; none: at any hour.';
comment on column backfill.task_window.task is 'The task.';
comment on column backfill.task_window.opens is 'From this time of day.';
comment on column backfill.task_window.closes is 'To this time of day, of the next day where that is earlier.';
comment on column backfill.task_window.zone is 'The time zone of both.';
comment on column backfill.task_window.set_by is 'Who set it.';
comment on column backfill.task_window.set_at is 'When.';

create function backfill.window_now(p_window backfill.task_window, p_at timestamptz default clock_timestamp(), out open boolean, out changes_at timestamptz)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_local timestamp;
    v_time time;
    v_next time;
begin
    begin
        v_local := p_at at time zone p_window.zone;
    exception when invalid_parameter_value then
        -- a newer server may lack a zone that this one had: one such row is not to break what shows all tasks
        open := false;
        return;
    end;
    v_time := v_local::time;
    open := case when p_window.opens < p_window.closes then v_time >= p_window.opens and v_time < p_window.closes
                 else v_time >= p_window.opens or v_time < p_window.closes end;
    v_next := case when open then p_window.closes else p_window.opens end;
    changes_at := (v_local::date + v_next + case when v_next > v_time then interval '0' else interval '1 day' end) at time zone p_window.zone;
end $$;
comment on function backfill.window_now(backfill.task_window, timestamptz) is 'Whether a window is open at that time, and when it closes or opens. In a time zone that the server doesn''t know it is closed, and nothing is said of when.';

create function backfill.window_reason(p_task text)
returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_window backfill.task_window;
    v_now record;
begin
    select * into v_window from backfill.task_window w where w.task = p_task;
    if not found then
        return null;
    end if;
    v_now := backfill.window_now(v_window);
    if v_now.open then
        return null;
    elsif v_now.changes_at is null then
        return format('the time zone of its window, %s, is unknown to this server: set the window anew', v_window.zone);
    end if;
    return format('outside its window %s-%s %s, opens at %s', to_char(v_window.opens, 'HH24:MI'), to_char(v_window.closes, 'HH24:MI'), v_window.zone,
                  to_char(v_now.changes_at at time zone v_window.zone, 'YYYY-MM-DD HH24:MI'));
end $$;
comment on function backfill.window_reason(text) is 'Why a task''s rows are not handed out at this hour; null: they are.';

create function backfill.hold_reason(p_task text)
returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_reason text := backfill.window_reason(p_task);
    v_guard record;
begin
    if v_reason is null then
        v_guard := backfill.guard_now(p_task, false);
        v_reason := case when v_guard.state = 'hold' then v_guard.reason end;
    end if;
    return v_reason;
end $$;
comment on function backfill.hold_reason(text) is 'Why a task''s rows are not handed out now: the hour, or a guard. Null: they are.';

create function backfill.set_window(p_task text, p_opens time, p_closes time, p_zone text default 'UTC')
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform backfill.known_task(p_task);
    -- many clients, Python's among them, know no 24:00
    p_opens := case when p_opens = '24:00' then time '00:00' else p_opens end;
    p_closes := case when p_closes = '24:00' then time '00:00' else p_closes end;
    if p_opens is null or p_closes is null or p_opens = p_closes then
        raise exception 'a window opens at one time of day and closes at another'
            using errcode = 'BF014', hint = format('for any hour: select backfill.clear_window(%L)', p_task);
    end if;
    begin
        perform clock_timestamp() at time zone p_zone;
    exception when invalid_parameter_value then
        raise exception 'there is no time zone %', quote_literal(left(p_zone, 100))
            using errcode = 'BF014', hint = 'names look like Europe/Berlin; see: select name from pg_timezone_names';
    end;
    insert into backfill.task_window (task, opens, closes, zone, set_by) values (p_task, p_opens, p_closes, p_zone, backfill.actor())
        on conflict (task) do update
           set opens = excluded.opens, closes = excluded.closes, zone = excluded.zone, set_by = excluded.set_by, set_at = clock_timestamp();
    perform backfill.log_event('set_window', p_task, null, jsonb_build_object('opens', p_opens, 'closes', p_closes, 'zone', p_zone));
end $$;
comment on function backfill.set_window(text, time, time, text) is 'Lets a task''s rows be handed out between these times of day only, past midnight where the second is earlier. Holds from the next claim of every process on.';

create function backfill.clear_window(p_task text)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform backfill.known_task(p_task);
    delete from backfill.task_window w where w.task = p_task;
    if found then
        perform backfill.log_event('clear_window', p_task);
    end if;
end $$;
comment on function backfill.clear_window(text) is 'Lets a task run at any hour.';

create view backfill.windows as
select w.task, w.opens, w.closes, w.zone, n.open, n.changes_at, w.set_by, w.set_at
  from backfill.task_window w cross join lateral backfill.window_now(w) n;
comment on view backfill.windows is 'Hours in which tasks may run; those that are not here may at any.';
comment on column backfill.windows.task is 'The task.';
comment on column backfill.windows.opens is 'From this time of day.';
comment on column backfill.windows.closes is 'To this time of day, of the next day where that is earlier.';
comment on column backfill.windows.zone is 'The time zone of both.';
comment on column backfill.windows.open is 'Whether it is open now.';
comment on column backfill.windows.changes_at is 'When it closes, or opens; null: its time zone is unknown.';
comment on column backfill.windows.set_by is 'Who set it.';
comment on column backfill.windows.set_at is 'When.';
