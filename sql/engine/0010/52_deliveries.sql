-- pgbackfill, engine: messages to webhooks, how they are signed, handed out and shown

create function backfill.webhook_signature(p_secret bytea, p_message bytea)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    -- HMAC with SHA-256 (RFC 2104), whose keys are shorter than a block here
    v_inner bytea := decode(repeat('36', 64), 'hex');
    v_outer bytea := decode(repeat('5c', 64), 'hex');
begin
    for i in 0 .. length(p_secret) - 1 loop
        v_inner := set_byte(v_inner, i, get_byte(p_secret, i) # 54);
        v_outer := set_byte(v_outer, i, get_byte(p_secret, i) # 92);
    end loop;
    return 'v1,' || encode(sha256(v_outer || sha256(v_inner || p_message)), 'base64');
end $$;
comment on function backfill.webhook_signature(bytea, bytea) is 'The signature of a message, as in the Standard Webhooks specification: v1, and HMAC-SHA256 in base64.';

create function backfill.take_deliveries(p_most integer, p_lasts interval default '1 minute', p_only uuid default null)
returns table (id uuid, attempt integer, webhook text, url text, message_id text, sent_at bigint, signature text, body text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    return query
    with taken as (
        update backfill.delivery t set attempts = t.attempts + 1, taken_at = clock_timestamp(), due_at = clock_timestamp() + p_lasts
         where t.id = any (array(
               select l.id from backfill.delivery l
                where l.id = any (array(
                      -- few of each webhook, so that one that answers slowly doesn't hold up the others
                      select d.id from backfill.webhook w
                       cross join lateral (
                             select x.id from backfill.delivery x
                              where x.webhook = w.name and x.state = 'waiting' and x.due_at <= clock_timestamp()
                                and (w.enabled or x.moment = 'test') and (p_only is null or x.id = p_only)
                              order by x.due_at limit 2) d))
                  and l.state = 'waiting' and l.due_at <= clock_timestamp()
                order by l.due_at limit p_most for update skip locked))
        returning t.*
    )
    select t.id, t.attempts, w.name, w.url, m.id, m.at,
           backfill.webhook_signature(w.secret, m.signed)
           || case when w.old_until > clock_timestamp() then ' ' || backfill.webhook_signature(w.old_secret, m.signed) else '' end,
           t.body::text
      from taken t
      join backfill.webhook w on w.name = t.webhook
     cross join lateral (select 'msg_' || replace(t.id::text, '-', '') as id, extract(epoch from clock_timestamp())::bigint as at) n
     cross join lateral (select n.id, n.at, convert_to(format('%s.%s.%s', n.id, n.at, t.body), 'UTF8') as signed) m;
end $$;
comment on function backfill.take_deliveries(integer, interval, uuid) is
    'Hands out messages that are due, or only one of them, to be sent within p_lasts; after that they are handed out again. sent_at: seconds since 1970, the header webhook-timestamp; message_id: webhook-id; signature: webhook-signature; body: to be sent as it is, in UTF-8.';

create function backfill.note_delivery(
    p_id uuid, p_attempt integer, p_status integer, p_error text, p_ms integer, p_after double precision default null)
returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_delivery backfill.delivery;
    v_most integer;
begin
    select * into v_delivery from backfill.delivery d where d.id = p_id and d.attempts = p_attempt and d.state = 'waiting' for update;
    if not found then
        return null;
    end if;
    if p_error is null then
        update backfill.delivery d set state = 'delivered', ended_at = clock_timestamp(), taken_at = null, status = p_status, error = null, took_ms = p_ms where d.id = p_id;
        return 'delivered';
    end if;
    select case when v_delivery.moment = 'test' or p_status = 410 then 0 else w.max_attempts end into v_most from backfill.webhook w where w.name = v_delivery.webhook;
    update backfill.delivery d
       set state = case when p_attempt >= v_most then 'failed' else 'waiting' end,
           ended_at = case when p_attempt >= v_most then clock_timestamp() end,
           taken_at = null, status = p_status, error = left(p_error, 500), took_ms = p_ms,
           -- 5 s, 20 s, 80 s, 5 min, 21 min, 85 min, and then every 3 hours, a fifth more or less
           due_at = clock_timestamp() + make_interval(secs => greatest(
               least(5 * 4 ^ least(p_attempt - 1, 10), 10800) * (0.8 + 0.4 * random()), least(coalesce(p_after, 0), 86400)))
     where d.id = p_id
    returning d.* into v_delivery;
    if p_status = 410 and v_delivery.moment <> 'test' then
        -- by the specification the endpoint wants no more
        update backfill.webhook w set enabled = false, note = 'its server answered 410 (gone)' where w.name = v_delivery.webhook and w.enabled;
    end if;
    return v_delivery.state;
end $$;
comment on function backfill.note_delivery(uuid, integer, integer, text, integer, double precision) is
    'Takes down what came of an attempt, p_error null where the server took it; p_after: seconds that it asked to wait. Returns delivered, waiting or failed; null where the attempt was given to somebody else. A webhook whose server says 410 (gone) is disabled.';

create function backfill.prune_deliveries(p_keep interval default '7 days')
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_gone bigint;
begin
    delete from backfill.delivery d
     where d.state <> 'waiting' and d.created_at < clock_timestamp() - least(p_keep, interval '1 day')
       and d.ended_at < clock_timestamp() - case when d.moment = 'after_batch' and d.state = 'delivered' then least(p_keep, interval '1 day') else p_keep end;
    get diagnostics v_gone = row_count;
    -- a heartbeat that came as its run ended may have left one behind
    delete from backfill.run_batch b where not exists (select from backfill.run r where r.id = b.run_id and r.status <> 'ended');
    return v_gone;
end $$;
comment on function backfill.prune_deliveries(interval) is 'Removes deliveries that ended longer ago than that, or a day where they told of batches; how many. Processes that deliver call it now and then.';

create view backfill.webhooks as
select w.name, backfill.webhook_host(w.url) as host, w.moments, w.task, w.enabled, w.max_attempts, w.note, w.set_by, w.set_at,
       w.old_until, d.waiting, d.next_at, l.delivered_at, f.failed_at, f.status, f.error
  from backfill.webhook w
 cross join lateral (
       select count(*) as waiting, min(x.due_at) as next_at from backfill.delivery x where x.webhook = w.name and x.state = 'waiting') d
 cross join lateral (
       select max(x.ended_at) as delivered_at from backfill.delivery x where x.webhook = w.name and x.state = 'delivered') l
  left join lateral (
       select x.created_at as failed_at, x.status, x.error from backfill.delivery x
        where x.webhook = w.name and x.error is not null order by x.created_at desc limit 1) f
         on l.delivered_at is null or f.failed_at > l.delivered_at or exists (select from backfill.delivery x where x.webhook = w.name and x.state = 'waiting' and x.error is not null);
comment on view backfill.webhooks is 'Every webhook and how it does; without its secret, and of its address the host only.';
comment on column backfill.webhooks.name is 'Its name.';
comment on column backfill.webhooks.host is 'Where messages are sent, without what follows the host.';
comment on column backfill.webhooks.moments is 'What it is told of: before_run, after_batch, after_run.';
comment on column backfill.webhooks.task is 'The task whose runs it is told of; null: all.';
comment on column backfill.webhooks.enabled is 'Whether messages are written and sent.';
comment on column backfill.webhooks.max_attempts is 'Attempts after which a message is given up.';
comment on column backfill.webhooks.note is 'Why it was disabled by itself.';
comment on column backfill.webhooks.set_by is 'Who set it last.';
comment on column backfill.webhooks.set_at is 'When.';
comment on column backfill.webhooks.old_until is 'Until when the secret before its last change signs, too.';
comment on column backfill.webhooks.waiting is 'Messages that are not delivered yet.';
comment on column backfill.webhooks.next_at is 'When the next of them is due.';
comment on column backfill.webhooks.delivered_at is 'When one was delivered last.';
comment on column backfill.webhooks.failed_at is 'When the last message was written whose last attempt failed.';
comment on column backfill.webhooks.status is 'With which HTTP status; null: there was no answer.';
comment on column backfill.webhooks.error is 'What it failed with.';

create view backfill.deliveries as
select d.id, d.webhook, d.moment, d.task, d.run_id as run, d.state, d.attempts, d.created_at, d.ended_at,
       case when d.state = 'waiting' then d.due_at end as due_at, d.taken_at is not null as being_sent, d.status, d.error, d.took_ms, d.body
  from backfill.delivery d;
comment on view backfill.deliveries is 'Messages to webhooks: those of the last week, of batches of the last day, and those that wait.';
comment on column backfill.deliveries.id is 'Its number, the same in each attempt; without hyphens and after msg_ it is the header webhook-id.';
comment on column backfill.deliveries.webhook is 'The webhook.';
comment on column backfill.deliveries.moment is 'What it tells of: before_run, after_batch, after_run or test.';
comment on column backfill.deliveries.task is 'The task.';
comment on column backfill.deliveries.run is 'The run.';
comment on column backfill.deliveries.state is 'waiting, delivered or failed (given up).';
comment on column backfill.deliveries.attempts is 'Attempts so far.';
comment on column backfill.deliveries.created_at is 'When it was written.';
comment on column backfill.deliveries.ended_at is 'When it was delivered or given up.';
comment on column backfill.deliveries.due_at is 'When the next attempt is due.';
comment on column backfill.deliveries.being_sent is 'Whether a process is sending it.';
comment on column backfill.deliveries.status is 'The last attempt''s HTTP status; null: there was no answer.';
comment on column backfill.deliveries.error is 'What the last attempt failed with.';
comment on column backfill.deliveries.took_ms is 'Milliseconds that the last attempt took.';
comment on column backfill.deliveries.body is 'What is sent.';
