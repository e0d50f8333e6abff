-- pgbackfill, engine: workers, and the seats of runs that they fill
--
-- A seat is a place for one process at a served run. Free seats stand in pgqueuer's queue; a worker that gets
-- one takes the seat here (take_seat), has a process work for the run, and gives the seat back or ends it.
-- This table is the truth, so a job of the queue may be lost or come twice: serve() puts back what is missing,
-- and a seat that is taken is taken by one.
--
-- The first seat of each task comes before the second ones. A seat that is given back goes to the end of the
-- queue; whoever has held one for longer than a time slice is asked to give it back while others wait.
--
-- Lock order: worker row, run row, seat rows, queue.

create table backfill.worker (
    id           bigint generated always as identity primary key,
    host         text not null,
    pid          integer not null,
    status       text not null default 'live',
    slots        integer not null,
    serves       text[] not null default '{}',
    started_at   timestamptz not null default clock_timestamp(),
    heartbeat_at timestamptz not null default clock_timestamp(),
    ended_at     timestamptz,
    constraint worker_status_is_known check (status in (
        'live',  -- join_fleet() -> live
        'left',  -- live -> left: leave_fleet()
        'lost'   -- live -> lost: serve() found it silent
    )),
    constraint worker_gone_says_when check ((status = 'live') = (ended_at is null)),
    constraint worker_slots_in_range check (slots between 1 and 256)
);
create index worker_live on backfill.worker (id) where status = 'live';
comment on table backfill.worker is 'One row for each stay of a backfill worker.';
comment on column backfill.worker.id is 'The worker''s number.';
comment on column backfill.worker.host is 'Host name of the process.';
comment on column backfill.worker.pid is 'Process id on that host.';
comment on column backfill.worker.status is 'live, left (it said goodbye) or lost (it was silent; its seats were given to others).';
comment on column backfill.worker.slots is 'Processes that it has at a time, beside those for new rows.';
comment on column backfill.worker.serves is 'Entrypoints of the queue that it takes jobs of: tasks that it has at the version of the database.';
comment on column backfill.worker.started_at is 'When it came.';
comment on column backfill.worker.heartbeat_at is 'Its last sign of life.';
comment on column backfill.worker.ended_at is 'When it left or was found silent.';

create table backfill.seat (
    run_id    bigint not null references backfill.run (id) on delete cascade,
    seat      integer not null,
    worker_id bigint references backfill.worker (id),
    taken_at  timestamptz,
    primary key (run_id, seat),
    constraint seat_taken_says_when check ((worker_id is null) = (taken_at is null)),
    constraint seat_number_is_positive check (seat > 0)
);
create index seat_by_worker on backfill.seat (worker_id) where worker_id is not null;
comment on table backfill.seat is 'Places for processes at live served runs.';
comment on column backfill.seat.run_id is 'The run.';
comment on column backfill.seat.seat is 'Number of the place, from 1.';
comment on column backfill.seat.worker_id is 'The worker that has a process there; null: the seat is free.';
comment on column backfill.seat.taken_at is 'Since when.';

create function backfill.entrypoint_of(p_run backfill.run)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    -- A condition is evaluated in its author's sessions alone, unless the process itself vouches for it, as it
    -- does for what tokens ask for; see discover().
    select case when p_run.standing then 'new:' else 'seat:' end || p_run.task
           || case when p_run.where_sql is null or p_run.token is not null then '' else ':' || p_run.requested_by end
$$;
comment on function backfill.entrypoint_of(backfill.run) is 'Entrypoint of the queue for the seats of a run: who may take them.';

create function backfill.seat_priority(p_run backfill.run, p_seat integer)
returns integer language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when p_run.standing then 1000
                else 1 - p_seat - coalesce((select sum(r.seats) from backfill.run r
                                             where r.task = p_run.task and r.status <> 'ended' and r.seats is not null and not r.standing and r.id < p_run.id), 0)::integer end
$$;
comment on function backfill.seat_priority(backfill.run, integer) is 'Priority of a seat in the queue: 0 for a task''s first one, less for each further one; those for new rows come before all.';

create function backfill.idle_reason(p_run backfill.run)
returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_task backfill.task;
begin
    select * into v_task from backfill.task t where t.name = p_run.task;
    if v_task.paused_at is not null then
        return format('paused by %s', v_task.paused_by);
    end if;
    if not p_run.standing then
        return backfill.hold_reason(p_run.task);
    end if;
    return null;
end $$;
comment on function backfill.idle_reason(backfill.run) is 'Why a process of this run would have nothing to do now: its task is paused or held. Null: it would.';

create function backfill.enqueue_seat(p_run bigint, p_seat integer, p_after interval default '0')
returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_run backfill.run := backfill.known_run(p_run);
    v_job record;
begin
    insert into backfill.pgqueuer (priority, entrypoint, payload, dedupe_key, status, execute_after)
    values (backfill.seat_priority(v_run, p_seat), backfill.entrypoint_of(v_run),
            convert_to(jsonb_build_object('run', p_run, 'seat', p_seat, 'task', v_run.task)::text, 'UTF8'),
            format('run:%s:%s', p_run, p_seat), 'queued', now() + p_after)
        on conflict (dedupe_key) where status in ('queued', 'picked') and dedupe_key is not null do nothing
    returning id, priority, entrypoint into v_job;
    if v_job.id is null then
        return false;
    end if;
    insert into backfill.pgqueuer_log (job_id, status, priority, entrypoint) values (v_job.id, 'queued', v_job.priority, v_job.entrypoint);
    return true;
end $$;
comment on function backfill.enqueue_seat(bigint, integer, interval) is 'Puts a free seat into the queue, as pgqueuer does it, unless it is there; whether it was put.';

create function backfill.join_fleet(p_host text, p_pid integer, p_slots integer, p_serves text[])
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_id bigint;
begin
    insert into backfill.worker (host, pid, slots, serves) values (p_host, p_pid, p_slots, p_serves) returning id into v_id;
    perform backfill.log_event('worker_joined', null, null, jsonb_build_object('worker', v_id, 'host', p_host, 'pid', p_pid, 'slots', p_slots));
    return v_id;
end $$;
comment on function backfill.join_fleet(text, integer, integer, text[]) is 'Registers a worker and returns its number.';

create function backfill.leave_fleet(p_worker bigint)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update backfill.worker w set status = 'left', ended_at = clock_timestamp() where w.id = p_worker and w.status = 'live';
    if found then
        update backfill.seat s set worker_id = null, taken_at = null where s.worker_id = p_worker;
        perform backfill.log_event('worker_left', null, null, jsonb_build_object('worker', p_worker));
    end if;
end $$;
comment on function backfill.leave_fleet(bigint) is 'A worker says goodbye; seats that it still has are free.';

create function backfill.keep_seats(p_worker bigint, p_serves text[], p_slice interval, out alive boolean, out seats json)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update backfill.worker w set heartbeat_at = clock_timestamp(), serves = p_serves where w.id = p_worker and w.status = 'live';
    alive := found;
    with waiting as (
        select q.priority, q.entrypoint, row_number() over (partition by q.entrypoint order by q.priority desc, q.id) as place
          from backfill.pgqueuer q
         where q.status = 'queued' and q.entrypoint like 'seat:%' and q.execute_after < clock_timestamp() - interval '2 seconds'
           and exists (select from backfill.worker w where w.status = 'live' and q.entrypoint = any (w.serves))
    ), holding as (
        -- each against those that its worker could take instead: workers differ in what they serve
        select s.run_id, s.seat, s.taken_at, e.entrypoint, h.idle, h.priority,
               row_number() over (partition by e.entrypoint order by h.idle desc, h.priority, s.taken_at, s.run_id, s.seat) as place
          from backfill.seat s
          join backfill.run r on r.id = s.run_id and not r.standing
          join backfill.worker w on w.id = s.worker_id
          join (select distinct q.entrypoint from waiting q) e on e.entrypoint = any (w.serves)
         cross join lateral (select backfill.idle_reason(r) is not null as idle, backfill.seat_priority(r, s.seat) as priority) h
    ), gives_way as (
        select distinct h.run_id, h.seat from holding h join waiting q using (entrypoint, place)
         where (h.idle
                or (q.priority >= h.priority and h.taken_at < clock_timestamp() - p_slice)
                or (q.priority > h.priority and h.taken_at < clock_timestamp() - least(p_slice, interval '5 seconds')))
    )
    select coalesce(json_agg(json_build_object('run', s.run_id, 'seat', s.seat, 'gives_way', g.run_id is not null)), '[]') into seats
      from backfill.seat s left join gives_way g on g.run_id = s.run_id and g.seat = s.seat
     where s.worker_id = p_worker;
end $$;
comment on function backfill.keep_seats(bigint, text[], interval) is
    'Sign of life of a worker. alive: false where it was presumed dead meanwhile. seats: those that it still has (run, seat), and whether it should give each to others, who have waited for more than two seconds.';

create function backfill.take_seat(p_worker bigint, p_run bigint, p_seat integer)
returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update backfill.seat s set worker_id = p_worker, taken_at = clock_timestamp()
     where s.run_id = p_run and s.seat = p_seat
       and not exists (select from backfill.worker w where w.id = s.worker_id and w.status = 'live')
       and exists (select from backfill.worker w where w.id = p_worker and w.status = 'live')
       and exists (select from backfill.run r where r.id = p_run and r.status = 'running' and not p_worker = any (r.failed_at));
    return found;
end $$;
comment on function backfill.take_seat(bigint, bigint, integer) is 'Takes a seat for a worker; false where somebody has it, or nobody needs it any more.';

create function backfill.give_seat_back(p_worker bigint, p_run bigint, p_seat integer, p_over boolean, p_after interval default '0')
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_run backfill.run;
begin
    select * into v_run from backfill.run r where r.id = p_run;
    if p_over and not v_run.standing then
        delete from backfill.seat s where s.run_id = p_run and s.seat = p_seat and s.worker_id = p_worker;
        return;
    end if;
    update backfill.seat s set worker_id = null, taken_at = null where s.run_id = p_run and s.seat = p_seat and s.worker_id = p_worker;
    if found and v_run.status = 'running' and backfill.idle_reason(v_run) is null then
        -- the job that brought the worker here is in the queue until it is done with it
        update backfill.pgqueuer q set dedupe_key = null where q.dedupe_key = format('run:%s:%s', p_run, p_seat) and q.status = 'picked';
        perform backfill.enqueue_seat(p_run, p_seat, p_after);
    end if;
end $$;
comment on function backfill.give_seat_back(bigint, bigint, integer, boolean, interval) is
    'A worker has no process at this seat any more: it is over (nothing is left to do there), or is put at the end of the queue, to be taken after that long at the earliest.';

create function backfill.fail_run(p_run bigint, p_worker bigint, p_why text)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_run backfill.run;
begin
    select * into v_run from backfill.run r where r.id = p_run for update;
    if v_run.status is distinct from 'running' then
        return;
    end if;
    perform backfill.log_event('error', v_run.task, p_run, jsonb_build_object('why', left(p_why, 500), 'worker', p_worker));
    if v_run.standing then
        return;
    end if;
    update backfill.run r set failed_at = array_append(r.failed_at, p_worker) where r.id = p_run returning * into v_run;
    if not exists (select from backfill.runner w where w.run_id = p_run and w.status = 'live')
       and not exists (select from backfill.worker w
                        where w.status = 'live' and backfill.entrypoint_of(v_run) = any (w.serves) and not w.id = any (v_run.failed_at)) then
        perform backfill.end_run(p_run, 'error');
    end if;
end $$;
comment on function backfill.fail_run(bigint, bigint, text) is 'A worker could not work for this run, and is not sent to it again. It ends with an error where no process works for it and no other worker is left to try.';

create function backfill.clear_seats() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from backfill.seat s where s.run_id = new.id;
    delete from backfill.pgqueuer q
     where q.dedupe_key = any (array(select format('run:%s:%s', new.id, s.seat) from generate_series(1, new.seats) as s (seat))) and q.status = 'queued';
    return null;
end $$;
comment on function backfill.clear_seats() is 'Takes the seats of a run that has ended out of the queue.';
create trigger run_clears_its_seats after update of status on backfill.run
    for each row when (new.status = 'ended' and old.status <> 'ended' and new.seats is not null) execute function backfill.clear_seats();
comment on trigger run_clears_its_seats on backfill.run is 'Nobody is to be sent to a run that has ended.';
