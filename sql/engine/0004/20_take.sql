-- pgbackfill, engine: what processes ask of a shared rate
--
-- One short transaction each, without waiting for the disk at its end: what a server that crashes
-- forgets is at most the last half second of calls, and it takes longer than that to come back.
-- Lock order: the limit's row, and nothing else.

create function backfill.lock_rate(p_name text)
returns tid language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    v_place tid;
    v_kind text := split_part(p_name, ':', 1) || ':*';
begin
    if p_name <> v_kind then
        loop
            -- From the end of the index, where the newest version stands: read from its beginning it
            -- passes every version that an old transaction keeps. An equality would be read so.
            select r.ctid into v_place from backfill.rate_limit r
             where r.name >= p_name and r.name <= p_name order by r.name desc limit 1 for no key update;
            if found then
                return v_place;
            end if;
            insert into backfill.rate_limit (name, per_second, burst, concurrency, floor)
            select p_name, k.per_second, k.burst, k.concurrency, k.floor
              from backfill.rate_limit k where k.name = v_kind and strpos(p_name, ':') > 0
            on conflict do nothing;
            exit when not found and not exists (select from backfill.rate_limit r where r.name = p_name);
        end loop;
    end if;
    raise exception 'there is no rate limit named %', quote_literal(p_name)
        using errcode = 'BF006', hint = format('set one: select backfill.set_rate(%L, 5)', p_name);
end $$;
comment on function backfill.lock_rate(text) is
    'Locks the limit''s row, which is made from the row of its kind where there is none, and returns its place, which does not change until the transaction ends.';

create function backfill.faded(p_count double precision, p_then timestamptz, p_now timestamptz)
returns double precision language sql immutable set search_path = pg_catalog, pg_temp as $$
    select p_count * exp(-least(greatest(extract(epoch from p_now - p_then)::double precision, 0), 1000) / 3)
$$;
comment on function backfill.faded(double precision, timestamptz, timestamptz) is 'A count that fades with a time constant of three seconds.';

create function backfill.take_tokens(
    p_name text, p_holder uuid, p_runner bigint, p_costs integer[], p_busy integer default 0, p_succeeded integer default 0,
    p_lead double precision default 0,
    out now_s double precision, out starts double precision[], out within double precision, out wait double precision,
    out reason text, out blocked boolean, out counted boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    c_share constant double precision := 0.97;       -- of the rate is given out
    c_horizon constant double precision := 0.2;      -- seconds ahead that calls are given out for
    c_within constant double precision := 0.02;      -- seconds after its time that a call may still start
    c_ask_after constant double precision := 0.05;   -- seconds between two questions, at least
    c_hear_after constant double precision := 1;     -- and at most, so that a new rate is heard of
    c_turn constant interval := '250 milliseconds';  -- that somebody's turn is kept for him
    c_lease constant interval := '30 seconds';
    v_place tid;
    v_rate backfill.rate_limit;
    v_mine backfill.rate_holder;
    v_others record;
    v_now timestamptz;
    v_pace double precision;
    v_gap double precision;
    v_tolerance double precision;
    v_next double precision;
    v_start double precision;
    v_turn double precision := 'infinity';
    v_ahead double precision := 0;
    v_before bigint := 0;
    v_slots double precision := 'infinity';
    v_given integer := 0;
    v_tokens bigint := 0;
    v_wanted integer;
    v_cost integer;
begin
    if p_busy < 0 or exists (select from unnest(p_costs) c where c is null or c not between 1 and 1000000) then
        raise exception 'a call costs 1 to 1000000 tokens and not %, and % calls can''t be made', p_costs, p_busy
            using errcode = 'invalid_parameter_value';
    end if;
    perform set_config('synchronous_commit', 'off', true);
    v_place := backfill.lock_rate(p_name);
    select * into strict v_rate from backfill.rate_limit r where r.ctid = v_place;
    v_now := clock_timestamp();
    now_s := extract(epoch from v_now);
    starts := '{}';
    counted := v_rate.concurrency is not null;
    blocked := coalesce(v_rate.blocked_until > v_now, false);
    if v_rate.taken_at > v_now + interval '1 second' then
        -- the clock was set back, or this is another server now
        v_rate.last_at := v_now;
    end if;
    if p_succeeded > 0 and v_rate.slowed_to is not null and v_rate.throttled_at < v_now - interval '1 second' then
        -- with all calls made, up by 2 % of the full rate each second
        v_rate.slowed_to := nullif(least(v_rate.per_second, v_rate.slowed_to + p_succeeded * 0.02 * v_rate.per_second / v_rate.slowed_to), v_rate.per_second);
    end if;
    v_pace := c_share * coalesce(v_rate.slowed_to, v_rate.per_second);
    v_gap := 1 / v_pace;
    v_tolerance := (v_rate.burst - 1) * v_gap;
    within := c_within * greatest(1, 1 / v_pace);
    v_next := greatest(extract(epoch from v_rate.last_at - v_now) + v_gap, least(p_lead, c_horizon));

    select h.* into v_mine from unnest(v_rate.holders) h where h.holder = p_holder;
    select coalesce(sum(h.busy) filter (where h.busy > 0 and h.until > v_now
               and (h.runner_id is null or (select r.status from backfill.runner r where r.id = h.runner_id) = 'live')), 0) as busy,
           count(*) filter (where h.back_at > v_now - c_turn and h.wanted > 0) as waiting
      into v_others
      from unnest(v_rate.holders) h
     where h.holder <> p_holder;
    if v_others.waiting > 0 then
        v_turn := greatest(1, floor(v_pace * c_horizon / (v_others.waiting + 1)));
        -- who has waited longer finds room for his turn
        select coalesce(sum(least(h.wanted, v_turn)), 0), count(*) into v_ahead, v_before
          from unnest(v_rate.holders) h
         where h.holder <> p_holder and h.back_at > v_now - c_turn and h.wanted > 0
           and h.waiting_since < coalesce(v_mine.waiting_since, v_now);
    end if;
    if counted then
        v_slots := v_rate.concurrency - v_others.busy - p_busy - v_before;
    end if;
    foreach v_cost in array p_costs loop
        v_start := greatest(v_next - v_tolerance, 0);
        exit when blocked or v_start > c_horizon - v_ahead * v_gap or v_given >= least(v_slots, v_turn);
        starts := starts || v_start;
        v_next := v_next + v_cost * v_gap;
        v_given := v_given + 1;
        v_tokens := v_tokens + v_cost;
    end loop;

    v_wanted := cardinality(p_costs) - v_given;
    if blocked then
        wait := extract(epoch from v_rate.blocked_until - v_now);
        reason := backfill.pause_words(p_name, v_rate.blocked_until);
    elsif v_wanted > 0 and v_given >= v_slots then
        wait := c_ask_after;
        reason := format('%s: all of its %s calls at a time are being made', p_name, v_rate.concurrency);
    elsif v_wanted > 0 then
        v_ahead := case when v_given = 0 then v_ahead when v_others.waiting > 0 then v_others.waiting * v_turn else 0 end;
        wait := greatest(v_next - v_tolerance - c_horizon + v_ahead * v_gap, c_ask_after);
        reason := format('%s: its rate of %s a second is used up', p_name, round(coalesce(v_rate.slowed_to, v_rate.per_second)::numeric, 2)::double precision);
    end if;
    if v_given > 0 then
        v_rate.last_at := v_now + make_interval(secs => v_next - v_gap);
        v_rate.recent_from := case when v_rate.taken_at < v_now - interval '1 minute' then v_now else v_rate.recent_from end;
        v_rate.recent := backfill.faded(v_rate.recent, v_rate.taken_at, v_now) + v_tokens;
        v_rate.taken_at := v_now;
    end if;
    -- whoever has not been heard of for the lease goes with it
    v_rate.holders := array(select h from unnest(v_rate.holders) h where h.holder <> p_holder and h.until > v_now);
    if v_wanted > 0 or (counted and p_busy + v_given > 0) then
        v_rate.holders := v_rate.holders || row(
            p_holder, p_runner, case when counted then p_busy + v_given else 0 end, v_wanted,
            case when v_wanted > 0 and v_given = 0 then coalesce(v_mine.waiting_since, v_now) when v_wanted > 0 then v_now end,
            v_now + make_interval(secs => least(coalesce(wait, 0), c_hear_after)), v_now + c_lease)::backfill.rate_holder;
    end if;
    if v_given > 0 or p_succeeded > 0 or v_wanted > 0 or v_mine.holder is not null then
        update backfill.rate_limit r
           set last_at = v_rate.last_at, recent = v_rate.recent, recent_from = v_rate.recent_from,
               taken_at = v_rate.taken_at, slowed_to = v_rate.slowed_to, holders = v_rate.holders
         where r.ctid = v_place;
    end if;
end $$;
comment on function backfill.take_tokens(text, uuid, bigint, integer[], integer, integer, double precision) is
    'Asks for calls of these costs (tokens each), in this order, and says how many calls of the caller run now and how many succeeded since it asked last; none is to start within the p_lead seconds that the reply may take. starts: when each of those granted may start, in seconds after now_s (the database''s clock), 0.2 at most; a call that can''t start within so many seconds of its time is not to be made. wait: seconds until the others are worth asking for, and in reason why; blocked: calls granted before are not to be made either. counted: calls at a time are limited, so that the end of one is to be told.';

create function backfill.throttled(p_name text, p_after double precision default null)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_place tid;
    v_rate backfill.rate_limit;
    v_now timestamptz;
    v_lowers boolean;
    v_after double precision;
    v_until timestamptz;
begin
    perform set_config('synchronous_commit', 'off', true);
    v_place := backfill.lock_rate(p_name);
    select * into strict v_rate from backfill.rate_limit r where r.ctid = v_place;
    v_now := clock_timestamp();
    -- refused together with others within a second, it lowers the rate once
    v_lowers := v_rate.floor is not null and coalesce(v_rate.throttled_at < v_now - interval '1 second', true);
    -- who neither says for how long nor can be made slower gets a second's rest; nobody's word keeps us off for more than a day
    v_after := case when p_after is not null then least(p_after, 86400) when v_rate.floor is null then 1 end;
    v_until := case when v_after > 0 then v_now + make_interval(secs => v_after) end;
    update backfill.rate_limit r
       set throttled = r.throttled + 1,
           throttled_at = case when v_lowers or r.floor is null then v_now else r.throttled_at end,
           slowed_to = case when v_lowers then greatest(r.floor, 0.7 * coalesce(r.slowed_to, r.per_second)) else r.slowed_to end,
           blocked_until = greatest(r.blocked_until, v_until),
           blocked_reason = case when greatest(r.blocked_until, v_until) is not null then
                                case when v_until >= coalesce(r.blocked_until, '-infinity') then
                                    case when p_after is null then 'it refused a call without saying for how long'
                                         else format('it asked for %s s', round(v_after::numeric, 1)) end
                                else r.blocked_reason end end
     where r.ctid = v_place;
end $$;
comment on function backfill.throttled(text, double precision) is
    'A call was refused for its rate: no call starts for the seconds given (Retry-After), in any process; a limit with a floor is taken down to 0.7 of its rate, once a second at most.';

create function backfill.release_slots(p_holder uuid)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update backfill.rate_limit r
       set holders = array(select h from unnest(r.holders) h where h.holder <> p_holder)
     where exists (select from unnest(r.holders) h where h.holder = p_holder);
end $$;
comment on function backfill.release_slots(uuid) is 'A process that stops gives back its slots and its place in every queue.';

create function backfill.prune_rates(p_idle interval default '1 day')
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_count bigint;
begin
    with gone as materialized (
        select r.name from backfill.rate_limit r
         where r.set_by is null and r.taken_at < clock_timestamp() - p_idle
           and (r.blocked_until is null or r.blocked_until < clock_timestamp()) and r.name not like '%:*'
           and exists (select from backfill.rate_limit k where k.name = split_part(r.name, ':', 1) || ':*')
           and not exists (select from unnest(r.holders) h where h.until > clock_timestamp())
           for update skip locked
    ), deleted as (
        delete from backfill.rate_limit r using gone where r.name = gone.name returning 1
    )
    select count(*) into v_count from deleted;
    return v_count;
end $$;
comment on function backfill.prune_rates(interval) is
    'Removes limits that came into being by use, were set by nobody and idle for so long; returns how many. Processes call it now and then; calling it more often does no harm.';
