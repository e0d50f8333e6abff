-- pgbackfill, engine: what an operator sets of a shared rate, and what he sees of it

create function backfill.set_rate(
    p_name text, p_per_second double precision default null, p_burst integer default null,
    p_concurrency integer default null, p_floor double precision default null)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if p_name ~ '^host:' and (p_name <> lower(p_name) or p_name ~ '/' or p_name ~ '^host:[^:]+:[0-9]+$') then
        raise exception 'no host will ever be called %', quote_literal(p_name)
            using errcode = 'BF006', hint = 'in small letters, without scheme, port and path: host:example.com';
    end if;
    insert into backfill.rate_limit (name, per_second, burst, concurrency, floor)
    select p_name, k.per_second, k.burst, k.concurrency, k.floor
      from backfill.rate_limit k where k.name = split_part(p_name, ':', 1) || ':*' and strpos(p_name, ':') > 0
    on conflict do nothing;
    -- a new kind, or a name without one
    insert into backfill.rate_limit (name, per_second)
    select p_name, p_per_second where p_per_second is not null
    on conflict do nothing;
    update backfill.rate_limit r
       set per_second = coalesce(p_per_second, r.per_second),
           burst = coalesce(p_burst, r.burst),
           concurrency = nullif(coalesce(p_concurrency, r.concurrency), 0),
           floor = case when coalesce(p_floor, r.floor) > 0 then least(coalesce(p_floor, r.floor), coalesce(p_per_second, r.per_second)) end
     where r.name = p_name;
    if not found then
        raise exception 'there is no rate limit named %', quote_literal(p_name)
            using errcode = 'BF006', hint = format('a new one needs a rate: select backfill.set_rate(%L, 5)', p_name);
    end if;
end $$;
comment on function backfill.set_rate(text, double precision, integer, integer, double precision) is
    'Sets a limit, which may be a new one or a kind (host:*); what is null stays. Holds in every process within a second. Concurrency 0: any number at a time; floor 0: throttling leaves the rate alone.';

create function backfill.lift_pause(p_name text)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update backfill.rate_limit r set blocked_until = null, blocked_reason = null where r.name = p_name and r.blocked_until is not null;
    if found then
        perform backfill.log_event('lift_pause', null, null, jsonb_build_object('name', p_name));
    end if;
end $$;
comment on function backfill.lift_pause(text) is 'Forgets what a provider said about when to come back; calls to it start again within a second.';

create function backfill.pause_words(p_name text, p_until timestamptz)
returns text language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('%s asked for a pause until %s', p_name, to_char(p_until at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'))
$$;
comment on function backfill.pause_words(text, timestamptz) is 'A provider''s pause in words.';

create view backfill.rate_holders as
select r.name, h.holder, h.runner_id as runner, w.host, w.pid, h.busy, h.wanted, h.waiting_since, h.until
  from backfill.rate_limit r
 cross join lateral unnest(r.holders) h
  left join backfill.runner w on w.id = h.runner_id
 where h.until > clock_timestamp() and (h.runner_id is null or w.status = 'live');
comment on view backfill.rate_holders is 'Processes that wait for a shared limit, or make calls under one whose calls at a time are limited.';
comment on column backfill.rate_holders.name is 'The limit.';
comment on column backfill.rate_holders.holder is 'The process, by a name that it gave itself.';
comment on column backfill.rate_holders.runner is 'Its runner.';
comment on column backfill.rate_holders.host is 'Where it runs.';
comment on column backfill.rate_holders.pid is 'Its process id there.';
comment on column backfill.rate_holders.busy is 'Calls that it makes now, where their number is limited.';
comment on column backfill.rate_holders.wanted is 'Calls that it waits for.';
comment on column backfill.rate_holders.waiting_since is 'Since when it waits for its turn.';
comment on column backfill.rate_holders.until is 'When its slots are free again if it is not heard of.';

create view backfill.rate_limits as
select r.name, coalesce(r.slowed_to, r.per_second) as per_second, r.per_second as ceiling, r.floor, r.burst, r.concurrency,
       -- the mean over a time constant of 3 s, or over the time since it was first used, where that is less
       round((backfill.faded(r.recent, r.taken_at, clock_timestamp()) / 3
              / (1 - backfill.faded(1, least(r.recent_from, clock_timestamp() - interval '1 second'), clock_timestamp())))::numeric, 2) as used_per_second,
       h.busy, h.processes as processes_waiting, h.wanted as calls_waiting, r.throttled, r.throttled_at, r.blocked_until, r.blocked_reason, r.set_by, r.set_at, r.taken_at,
       case when r.blocked_until > clock_timestamp() then backfill.pause_words(r.name, r.blocked_until)
            when h.processes > 0 and h.busy >= r.concurrency then format('%s: all of its %s calls at a time are being made', r.name, r.concurrency)
            when h.processes > 0 and r.slowed_to is not null
            then format('%s: slowed to %s of %s a second since it refused calls', r.name, round(r.slowed_to::numeric, 2)::double precision, r.per_second)
            when h.processes > 0 then format('%s: its rate of %s a second is used up', r.name, r.per_second) end as wait_reason
  from backfill.rate_limit r
 cross join lateral (
       select coalesce(sum(x.busy) filter (where x.until > clock_timestamp() and (x.runner_id is null or w.status = 'live')), 0)::bigint as busy,
              count(*) filter (where x.wanted > 0 and x.back_at > clock_timestamp() - interval '1 second') as processes,
              coalesce(sum(x.wanted) filter (where x.back_at > clock_timestamp() - interval '1 second'), 0)::bigint as wanted
         from unnest(r.holders) x left join backfill.runner w on w.id = x.runner_id) h;
comment on view backfill.rate_limits is 'Every shared limit: what it allows now, what is used of it, and in wait_reason why calls wait (null: none does).';
comment on column backfill.rate_limits.name is 'What is limited; kind:* is what new limits of a kind begin with.';
comment on column backfill.rate_limits.per_second is 'Calls a second now.';
comment on column backfill.rate_limits.ceiling is 'Calls a second that were set.';
comment on column backfill.rate_limits.floor is 'Calls a second that throttling does not go below.';
comment on column backfill.rate_limits.burst is 'Calls that may start at once after a while without any.';
comment on column backfill.rate_limits.concurrency is 'Calls at a time; null: any number.';
comment on column backfill.rate_limits.used_per_second is 'Calls a second given out, on average over about the last three seconds.';
comment on column backfill.rate_limits.busy is 'Calls being made, counted where their number is limited.';
comment on column backfill.rate_limits.processes_waiting is 'Processes that wait for it.';
comment on column backfill.rate_limits.calls_waiting is 'Calls that wait for it.';
comment on column backfill.rate_limits.throttled is 'Times that the provider said to slow down.';
comment on column backfill.rate_limits.throttled_at is 'When its word lowered the rate last.';
comment on column backfill.rate_limits.blocked_until is 'No call before this time.';
comment on column backfill.rate_limits.blocked_reason is 'What the provider said.';
comment on column backfill.rate_limits.set_by is 'Who set the limit; null: it follows the row of its kind.';
comment on column backfill.rate_limits.set_at is 'When.';
comment on column backfill.rate_limits.taken_at is 'When calls were given out last.';
comment on column backfill.rate_limits.wait_reason is 'Why calls wait; null: none does.';
