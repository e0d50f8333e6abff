-- pgbackfill, engine: rates that all processes share
--
-- A provider grants so many calls a second, however many processes there are on however many hosts.
-- A limit is one row. Its bucket is a single timestamp (GCRA, ITU-T I.371: the theoretical arrival
-- time): the next call may start one gap after last_at, and where nothing was asked for, now. A
-- process asks for several calls at once and is told when each may start, at most 0.2 s ahead, so
-- that calls are spread over the second by whichever process makes them.
--
-- A limit whose name has a kind (host:example.com) comes into being at its first use, with what the
-- row of its kind (host:*) says, and follows that row until somebody sets it. All times are the
-- database's.

create type backfill.rate_holder as (
    holder        uuid,
    runner_id     bigint,
    busy          integer,
    wanted        integer,
    waiting_since timestamptz,
    back_at       timestamptz,
    until         timestamptz
);
comment on type backfill.rate_holder is 'A process that waits for a limit, or makes calls under one with a concurrency.';
comment on column backfill.rate_holder.holder is 'The process, by a name that it gave itself.';
comment on column backfill.rate_holder.runner_id is 'Its runner: where that is gone, so are its slots. Null: it works for no run.';
comment on column backfill.rate_holder.busy is 'Slots of the concurrency that it holds: calls that run or are about to.';
comment on column backfill.rate_holder.wanted is 'Calls that it asked for and did not get yet.';
comment on column backfill.rate_holder.waiting_since is 'Since when it waits for its turn; the longest wait comes first. Null: it does not wait.';
comment on column backfill.rate_holder.back_at is 'When it is to ask again; a quarter of a second later its turn is somebody else''s.';
comment on column backfill.rate_holder.until is 'When its slots are free again if it is not heard of.';

create table backfill.rate_limit (
    name           text primary key,
    per_second     double precision not null,
    burst          integer not null default 1,
    concurrency    integer,
    floor          double precision,
    slowed_to      double precision,
    blocked_until  timestamptz,
    blocked_reason text,
    last_at        timestamptz not null default 'epoch',
    taken_at       timestamptz not null default clock_timestamp(),
    recent         double precision not null default 0,
    recent_from    timestamptz not null default clock_timestamp(),
    holders        backfill.rate_holder[] not null default '{}',
    throttled      bigint not null default 0,
    throttled_at   timestamptz,
    set_by         text,
    set_at         timestamptz,
    constraint rate_limit_name_says_what_for check (name ~ '^[a-z][a-z0-9_]*(:[^[:space:][:cntrl:]]+)?$' and length(name) <= 300),
    constraint rate_limit_rate_in_range check (per_second > 0 and per_second <= 100000),
    constraint rate_limit_burst_in_range check (burst between 1 and 1000000),
    constraint rate_limit_concurrency_in_range check (concurrency between 1 and 100000),
    constraint rate_limit_floor_is_below_its_rate check (floor > 0 and floor <= per_second),
    constraint rate_limit_slows_between_floor_and_rate check (slowed_to is null or (floor is not null and slowed_to between floor and per_second)),
    constraint rate_limit_pause_says_why check ((blocked_until is null) = (blocked_reason is null)),
    constraint rate_limit_counts_are_not_negative check (throttled >= 0 and recent >= 0),
    constraint rate_limit_setting_says_when check ((set_by is null) = (set_at is null))
);
-- Updated at every take, and no indexed column with it: with room on the page it stays HOT. Holders
-- stand in the row itself and not in a table of their own, so that there is one row whose versions
-- pile up while an old transaction keeps vacuum away; lock_rate() finds the newest of them at once.
alter table backfill.rate_limit set (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
comment on table backfill.rate_limit is 'One row a limit that all processes share. Updating rate, burst, concurrency or floor steers running processes from their next take on, within a second.';
comment on column backfill.rate_limit.name is 'What is limited, as kind:thing (host:example.com) or one word (rekognition). kind:* holds what new limits of that kind begin with.';
comment on column backfill.rate_limit.per_second is 'Calls a second that the provider grants, and the ceiling of what throttling takes down and success up again. 97 % of it are given out, so that late ones don''t add up to more.';
comment on column backfill.rate_limit.burst is 'Calls that may start at once after a while without any; 1: never two without a gap.';
comment on column backfill.rate_limit.concurrency is 'Calls that may run at a time, in all processes together; null: any number.';
comment on column backfill.rate_limit.floor is 'Calls a second that throttling does not go below; null: throttling leaves the rate alone.';
comment on column backfill.rate_limit.slowed_to is 'Calls a second that it was taken down to by throttling; null: it is at per_second.';
comment on column backfill.rate_limit.blocked_until is 'No call starts before this time, because the provider said so.';
comment on column backfill.rate_limit.blocked_reason is 'What it said, in words.';
comment on column backfill.rate_limit.last_at is 'Theoretical arrival time of the last call given out: the next may start one gap later.';
comment on column backfill.rate_limit.taken_at is 'When calls were given out last.';
comment on column backfill.rate_limit.recent is 'Calls given out, each fading with a time constant of three seconds, as of taken_at.';
comment on column backfill.rate_limit.recent_from is 'Since when recent is counted; anew after a minute without any.';
comment on column backfill.rate_limit.holders is 'Processes that wait for it or make calls under it; see the view rate_holders.';
comment on column backfill.rate_limit.throttled is 'Times that the provider said to slow down.';
comment on column backfill.rate_limit.throttled_at is 'When it lowered the rate last: what else is refused within a second belongs to the same crowd.';
comment on column backfill.rate_limit.set_by is 'Who set it; null: nobody, it follows the row of its kind.';
comment on column backfill.rate_limit.set_at is 'When.';

create function backfill.mark_rate_set() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.set_by := session_user;
    new.set_at := clock_timestamp();
    new.slowed_to := null;
    return new;
end $$;
comment on function backfill.mark_rate_set() is 'Notes who set a limit; a word of an operator outweighs what throttling did before.';
-- not where the row of its kind was set, which is passed on by the trigger below
create trigger rate_limit_is_set before update of per_second, burst, concurrency, floor on backfill.rate_limit
    for each row when (pg_trigger_depth() = 0) execute function backfill.mark_rate_set();
comment on trigger rate_limit_is_set on backfill.rate_limit is 'Notes who set a limit.';

create function backfill.pass_rate_on() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform backfill.log_event('set_rate', null, null, jsonb_build_object('name', new.name, 'per_second', new.per_second) || (
        select coalesce(jsonb_object_agg(n.key, jsonb_build_object('from', o.value, 'to', n.value)), '{}')
          from jsonb_each(to_jsonb(old)) o join jsonb_each(to_jsonb(new)) n using (key)
         where n.key in ('per_second', 'burst', 'concurrency', 'floor') and o.value is distinct from n.value));
    if new.name like '%:*' then
        update backfill.rate_limit r
           set per_second = new.per_second, burst = new.burst, concurrency = new.concurrency, floor = new.floor, slowed_to = null
         where starts_with(r.name, split_part(new.name, ':', 1) || ':') and r.name <> new.name and r.set_by is null;
    end if;
    return null;
end $$;
comment on function backfill.pass_rate_on() is 'Puts a change of a limit into the audit, and passes one of a kind''s row on to the limits of that kind that nobody has set.';
create trigger rate_limit_is_passed_on after update of per_second, burst, concurrency, floor on backfill.rate_limit
    for each row when (pg_trigger_depth() = 0) execute function backfill.pass_rate_on();
comment on trigger rate_limit_is_passed_on on backfill.rate_limit is 'An operator sets these by a plain update, which leaves its event like all else that an operator does.';

insert into backfill.rate_limit (name, per_second, concurrency, floor) values
    -- gentler than a browser, which opens six connections to a host
    ('host:*', 5, 4, 0.1),
    -- what an account has at first in the smaller regions; raised on request
    ('rekognition', 5, null, 0.5);
