-- pgbackfill, engine: runs that are asked for here and worked for elsewhere
--
-- A run that the command line starts is worked for by that command. All others are served: workers (backfill
-- worker) start processes for them, as many at a time as the run has seats.
--
-- Of each task one served run is live at a time, unless its options say {"beside": true}. Two that are started
-- at the same moment are told apart under the lock of the task's row.

-- start() took any JSON until now
update backfill.run set options = '{}' where jsonb_typeof(options) <> 'object';
alter table backfill.run
    add column seats integer,
    add column standing boolean not null default false,
    add column beside boolean not null default false,
    add column failed_at bigint[] not null default '{}',
    add constraint run_options_are_an_object check (jsonb_typeof(options) = 'object'),
    add constraint run_seats_in_range check (seats between 1 and 64),
    add constraint run_standing_is_for_new_rows check (not standing or (source = 'watch' and seats = 1 and lane = 0 and max_jobs is null)),
    drop constraint run_source_is_known,
    add constraint run_source_is_known check (source in ('psql', 'cli', 'api', 'page', 'schedule', 'watch'));
-- where the lock of the task's row is not enough: whoever waited for it in a transaction with an older snapshot
create unique index run_served_alone on backfill.run (task) where seats is not null and not standing and not beside and status <> 'ended';
create unique index run_standing on backfill.run (task) where standing and status <> 'ended';
comment on column backfill.run.seats is 'Processes that workers have for it at a time; null: it is not for workers, but for the command that started it.';
comment on column backfill.run.standing is 'Whether it is there for new and changed rows of a watched task only, for as long as the task is watched.';
comment on column backfill.run.beside is 'Whether it was started beside another one that workers serve.';
comment on column backfill.run.failed_at is 'Workers that could not work for it.';
comment on column backfill.run.source is 'Where it was started from: psql, cli, api, page or schedule; watch: it does a watched task''s new rows.';

create table backfill.request_key (
    actor   text not null,
    key     text not null,
    request jsonb not null,
    run     bigint,
    at      timestamptz not null default clock_timestamp(),
    primary key (actor, key),
    constraint request_key_is_short check (length(key) between 1 and 200)
);
create index request_key_by_age on backfill.request_key (at);
comment on table backfill.request_key is 'Keys of start_once(), for a day: the same request that is made again is the same run.';
comment on column backfill.request_key.actor is 'Whose key it is.';
comment on column backfill.request_key.key is 'The key.';
comment on column backfill.request_key.request is 'What was asked for.';
comment on column backfill.request_key.run is 'The run that it became.';
comment on column backfill.request_key.at is 'When.';

create function backfill.run_seats(p_options jsonb)
returns integer language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_given text := p_options ->> 'processes';
begin
    if v_given is null then
        return 1;
    end if;
    if v_given !~ '^[0-9]{1,2}$' or v_given::integer not between 1 and 64 then
        raise exception 'the option processes should be a whole number from 1 to 64 and is %', quote_literal(left(v_given, 50)) using errcode = 'BF009';
    end if;
    return v_given::integer;
end $$;
comment on function backfill.run_seats(jsonb) is 'How many processes workers are to have for a run with these options: processes, by default 1.';

create function backfill.refuse_second(p_task text, p_options jsonb)
returns void language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_run bigint;
begin
    if p_options -> 'beside' = 'true' then
        return;
    end if;
    select r.id into v_run from backfill.run r
     where r.task = p_task and r.status <> 'ended' and r.seats is not null and not r.standing
     order by r.id limit 1;
    if found then
        raise exception 'run % of % is live', v_run, p_task
            using errcode = 'BF011', detail = v_run::text,
                  hint = format('wait for its end, cancel it with: select backfill.cancel(%s), or start another beside it with the option "beside": true', v_run);
    end if;
end $$;
comment on function backfill.refuse_second(text, jsonb) is 'Raises BF011, with the number of the run as its detail, where a served run of the task is live and the options don''t say {"beside": true}.';

create or replace function backfill.create_run(
    p_task text, p_options jsonb, p_where text, p_max_jobs bigint, p_retry_failed boolean,
    p_batch_size integer, p_delay_ms integer, p_source text,
    p_found bigint, p_found_new bigint, p_found_again bigint, p_exact boolean)
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_id bigint := nextval(pg_get_serial_sequence('backfill.run', 'id'));
    v_where text := nullif(btrim(p_where), '');
    v_limit record := backfill.group_limit(p_task, p_options);
    v_lane bigint := case when v_where is null and v_limit.limit_by is null then 0 else v_id end;
    v_seats integer := case when p_source <> 'cli' then backfill.run_seats(p_options) end;
begin
    if p_source = 'watch' then
        raise exception 'only workers start a run for new rows' using errcode = 'BF009', hint = format('select backfill.watch(%L)', p_task);
    end if;
    if v_seats is not null then
        perform from backfill.task t where t.name = p_task for no key update;
        perform backfill.refuse_second(p_task, p_options);
    end if;
    begin
        insert into backfill.run (id, task, options, where_sql, lane, max_jobs, retry_failed, batch_size, delay_ms, source,
                                  found, found_new, found_again, found_exact, limit_by, limit_each, seats, beside)
        overriding system value
        values (v_id, p_task, p_options, v_where, v_lane, p_max_jobs, p_retry_failed,
                p_batch_size, p_delay_ms, p_source, p_found, p_found_new, p_found_again, p_exact, v_limit.limit_by, v_limit.limit_each, v_seats,
                v_seats is not null and coalesce(p_options -> 'beside' = 'true', false));
    exception when unique_violation then
        -- made since this transaction began, so that it may not see which
        raise exception 'another run of % is live', p_task using errcode = 'BF011', hint = 'look again in a new transaction';
    end;
    insert into backfill.sweep (task, lane) values (p_task, v_lane) on conflict do nothing;
    insert into backfill.seat (run_id, seat) select v_id, s.seat from generate_series(1, v_seats) as s (seat);
    perform backfill.enqueue_seat(s.run_id, s.seat) from backfill.seat s where s.run_id = v_id order by s.seat;
    if v_seats is not null and v_where is not null and not exists (
        select from backfill.run r join backfill.worker w on w.status = 'live' and backfill.entrypoint_of(r) = any (w.serves) where r.id = v_id) then
        raise warning 'run % waits for a worker whose login is %: its condition is evaluated in sessions of that login only', v_id, session_user
            using hint = format('backfill worker, or work for it yourself: backfill run %s --join %s', p_task, v_id);
    end if;
    perform backfill.log_event('start', p_task, v_id, jsonb_strip_nulls(jsonb_build_object(
        'where', v_where, 'limit', p_max_jobs, 'limit_by', v_limit.limit_by, 'limit_each', v_limit.limit_each,
        'retry_failed', p_retry_failed, 'source', p_source, 'found', p_found)));
    return v_id;
end $$;
comment on function backfill.create_run(text, jsonb, text, bigint, boolean, integer, integer, text, bigint, bigint, bigint, boolean) is
    'Writes the run''s row and its event, and hands its seats to workers unless a command works for it. Called by start().';

create or replace function backfill.start(
    p_task text, p_options jsonb default '{}', p_where text default null, p_limit bigint default null,
    p_retry_failed boolean default false, p_batch_size integer default null, p_delay_ms integer default null,
    p_source text default 'psql')
returns bigint language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_pending record;
begin
    if p_source <> 'cli' then
        -- told before anything is counted; what counts is what create_run() sees under the lock
        perform backfill.refuse_second(p_task, p_options);
    end if;
    v_pending := backfill.count_pending(p_task, p_where, p_retry_failed, p_options => p_options);
    return backfill.create_run(p_task, p_options, p_where, p_limit, p_retry_failed, p_batch_size, p_delay_ms,
                               p_source, v_pending.pending, v_pending.unqueued, v_pending.again, v_pending.exact);
end $$;
comment on function backfill.start(text, jsonb, text, bigint, boolean, integer, integer, text) is
    'Starts a run and returns its number; workers (backfill worker) do it, with as many processes as the option "processes" says. A second one of the same task is refused while it is live, unless its options say {"beside": true}. With the source cli whoever calls works for it. A condition (p_where) is tried read-only with the caller''s rights. With the options {"limit_by": "user_id", "limit_each": 10} it takes ten rows for each value of that column of the needs view.';

create function backfill.take_request_key(p_key text, p_request jsonb)
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_actor text := backfill.actor();
    v_old backfill.request_key;
begin
    delete from backfill.request_key k where k.at < clock_timestamp() - interval '24 hours';
    insert into backfill.request_key (actor, key, request) values (v_actor, p_key, p_request) on conflict do nothing;
    if found then
        return null;
    end if;
    -- the insert has waited for whoever was at it with the same key
    select * into v_old from backfill.request_key k where k.actor = v_actor and k.key = p_key;
    if v_old.request <> p_request then
        raise exception 'the key % was used for another request, which became run %', quote_literal(p_key), v_old.run
            using errcode = 'BF012', detail = v_old.run::text, hint = 'use a new key for a new request; keys are kept for 24 hours';
    end if;
    return v_old.run;
end $$;
comment on function backfill.take_request_key(text, jsonb) is 'The run that the actor''s same request with this key became; null: it is a new one. Another request raises BF012. Called by start_once().';

create function backfill.keep_request_key(p_key text, p_run bigint)
returns void language sql security definer set search_path = pg_catalog, pg_temp as $$
    update backfill.request_key k set run = p_run where k.actor = backfill.actor() and k.key = p_key and k.run is null
$$;
comment on function backfill.keep_request_key(text, bigint) is 'Notes what a request became. Called by start_once().';

create function backfill.start_once(
    p_key text, p_task text, p_options jsonb default '{}', p_where text default null, p_limit bigint default null,
    p_retry_failed boolean default false, p_batch_size integer default null, p_delay_ms integer default null,
    p_source text default 'psql', out run bigint, out created boolean)
returns record language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    run := backfill.take_request_key(p_key, jsonb_build_object(
        'task', p_task, 'options', p_options, 'where', p_where, 'limit', p_limit, 'retry_failed', p_retry_failed,
        'batch_size', p_batch_size, 'delay_ms', p_delay_ms, 'source', p_source));
    created := run is null;
    if created then
        run := backfill.start(p_task, p_options, p_where, p_limit, p_retry_failed, p_batch_size, p_delay_ms, p_source);
        perform backfill.keep_request_key(p_key, run);
    end if;
end $$;
comment on function backfill.start_once(text, text, jsonb, text, bigint, boolean, integer, integer, text) is
    'start() for a request that may be made again: the same key with the same request, of the same token or login and within 24 hours, is the same run, and created is false. The key with another request raises BF012.';
