-- pgbackfill, engine: webhooks
--
-- A webhook tells somebody's server that a run begins, gets on or ends. What is to be sent is
-- written as a delivery in the transaction of what it tells of, so it is neither lost nor sent of a
-- start that was rolled back; a process sends it later, again and again with growing pauses until
-- the server takes it. It may come twice, with the same id.
--
-- Batches are told of at a process's heartbeat, from counters that are committed, once a second a
-- run whatever its processes are: finishing rows costs nothing, and a process never waits for
-- another one to tell it. What is left is told as the run ends.
--
-- A secret is read by the functions here alone: deliveries are signed in the database, and who sends
-- them gets the signature. A webhook's address may be as good as a secret, so views show its host.
--
-- Lock order: run or runner row, then run_batch, then deliveries. What is written here holds no
-- reference to a run or a webhook, which would be a lock on it: somebody who cancels a run, or
-- changes a webhook, and leaves his transaction open holds up no process.

create table backfill.webhook (
    name         text primary key,
    url          text not null,
    moments      text[] not null,
    task         text references backfill.task (name) on delete cascade,
    enabled      boolean not null default true,
    max_attempts integer not null default 10,
    secret       bytea not null,
    old_secret   bytea,
    old_until    timestamptz,
    note         text,
    set_by       text not null default backfill.actor(),
    set_at       timestamptz not null default clock_timestamp(),
    constraint webhook_name_is_a_word check (name ~ '^[a-z][a-z0-9_-]{0,47}$'),
    constraint webhook_url_is_http check (url ~* '^https?://[^/?#@[:space:][:cntrl:]\\]+([/?][^#[:space:][:cntrl:]]*)?$' and length(url) <= 2000),
    constraint webhook_moments_are_known check (moments <@ array['before_run', 'after_batch', 'after_run'] and cardinality(moments) > 0),
    constraint webhook_max_attempts_in_range check (max_attempts between 1 and 100),
    constraint webhook_secret_is_long_enough check (length(secret) between 24 and 64),
    constraint webhook_old_secret_ends check ((old_secret is null) = (old_until is null))
);
comment on table backfill.webhook is 'One row a webhook: whom to tell of runs. set_webhook() writes it. Nobody but its owner may read it; see the view webhooks.';
comment on column backfill.webhook.name is 'Its name.';
comment on column backfill.webhook.url is 'Where messages are sent; no more than its host is ever shown.';
comment on column backfill.webhook.moments is 'What it is told of: before_run, after_batch, after_run.';
comment on column backfill.webhook.task is 'The task whose runs it is told of; null: all.';
comment on column backfill.webhook.enabled is 'Whether messages are written and sent.';
comment on column backfill.webhook.max_attempts is 'Attempts after which a message is given up.';
comment on column backfill.webhook.secret is 'What messages are signed with.';
comment on column backfill.webhook.old_secret is 'The secret before it, which signs too for a while after a change.';
comment on column backfill.webhook.old_until is 'Until when the old secret signs.';
comment on column backfill.webhook.note is 'Why it was disabled by itself; null: it was not.';
comment on column backfill.webhook.set_by is 'Who set it last.';
comment on column backfill.webhook.set_at is 'When.';

create table backfill.delivery (
    id         uuid primary key default gen_random_uuid(),
    webhook    text not null,
    moment     text not null,
    task       text,
    run_id     bigint,
    body       jsonb not null,
    state      text not null default 'waiting',
    attempts   integer not null default 0,
    created_at timestamptz not null default clock_timestamp(),
    due_at     timestamptz not null default clock_timestamp(),
    taken_at   timestamptz,
    ended_at   timestamptz,
    status     integer,
    error      text,
    took_ms    integer,
    constraint delivery_moment_is_known check (moment in ('before_run', 'after_batch', 'after_run', 'test')),
    constraint delivery_state_is_known check (state in (
        'waiting',    -- a moment -> waiting; waiting -> waiting: an attempt failed
        'delivered',  -- waiting -> delivered: the server said 2xx
        'failed'      -- waiting -> failed: the last attempt failed, or nobody is there to be told
    )),
    constraint delivery_ended_says_when check ((state = 'waiting') = (ended_at is null)),
    constraint delivery_failed_says_why check (state <> 'failed' or error is not null),
    constraint delivery_attempts_are_not_negative check (attempts >= 0)
);
create index delivery_waiting on backfill.delivery (webhook, due_at) where state = 'waiting';
create index delivery_of_run on backfill.delivery (run_id) where state = 'waiting';
-- with a message a second and run there may be many in a week
create index delivery_by_time on backfill.delivery (created_at);
create index delivery_delivered on backfill.delivery (webhook, ended_at) where state = 'delivered';
create index delivery_with_error on backfill.delivery (webhook, created_at) where error is not null;
comment on table backfill.delivery is 'One row a message to a webhook: the outbox. Those that have ended are kept for a week, of batches that were delivered for a day.';
comment on column backfill.delivery.id is 'Its number, the same in each attempt; the header webhook-id has it.';
comment on column backfill.delivery.webhook is 'The webhook''s name.';
comment on column backfill.delivery.moment is 'What it tells of: before_run, after_batch, after_run or test.';
comment on column backfill.delivery.task is 'The task.';
comment on column backfill.delivery.run_id is 'The run.';
comment on column backfill.delivery.body is 'What is sent: see hook_message().';
comment on column backfill.delivery.state is 'waiting, delivered or failed (given up).';
comment on column backfill.delivery.attempts is 'Attempts so far, one that is being made included.';
comment on column backfill.delivery.created_at is 'When it was written.';
comment on column backfill.delivery.due_at is 'When it is to be sent, or sent again; while it is being sent, when it counts as lost.';
comment on column backfill.delivery.taken_at is 'Since when a process is sending it; null: none is.';
comment on column backfill.delivery.ended_at is 'When it was delivered or given up.';
comment on column backfill.delivery.status is 'The last attempt''s HTTP status; null: there was no answer.';
comment on column backfill.delivery.error is 'What the last attempt failed with.';
comment on column backfill.delivery.took_ms is 'Milliseconds that the last attempt took.';

create table backfill.run_batch (
    run_id  bigint primary key,
    told    bigint not null default 0,
    told_at timestamptz not null default '-infinity'
);
comment on table backfill.run_batch is 'How far webhooks were told of a live run''s batches.';
comment on column backfill.run_batch.run_id is 'The run.';
comment on column backfill.run_batch.told is 'Rows, with failed attempts, that were told of.';
comment on column backfill.run_batch.told_at is 'When they were told last.';

create table backfill.run_command (
    run_id   bigint not null references backfill.run (id) on delete cascade,
    moment   text not null,
    state    text not null default 'running',
    host     text not null,
    pid      integer not null,
    began_at timestamptz not null default clock_timestamp(),
    due_at   timestamptz not null,
    ended_at timestamptz,
    error    text,
    constraint run_command_is_unique primary key (run_id, moment),
    constraint run_command_moment_is_known check (moment in ('before_run', 'after_run')),
    constraint run_command_state_is_known check (state in (
        'running',  -- take_command() -> running; running -> running: whoever had it is overdue
        'done',     -- running -> done: it ended well
        'failed'    -- running -> failed: it did not
    )),
    constraint run_command_ended_says_when check ((state = 'running') = (ended_at is null)),
    constraint run_command_failed_says_why check ((state = 'failed') = (error is not null))
);
comment on table backfill.run_command is 'One row for each command that a process runs before or after a run, so that one does and the others wait for it. The commands themselves are not here: they come from who starts the process.';
comment on column backfill.run_command.run_id is 'The run.';
comment on column backfill.run_command.moment is 'before_run or after_run.';
comment on column backfill.run_command.state is 'running, done or failed.';
comment on column backfill.run_command.host is 'Host name of the process that runs it.';
comment on column backfill.run_command.pid is 'Process id on that host.';
comment on column backfill.run_command.began_at is 'Since when.';
comment on column backfill.run_command.due_at is 'By when it will have ended; after that another process runs it.';
comment on column backfill.run_command.ended_at is 'When it ended.';
comment on column backfill.run_command.error is 'What it failed with.';

-- --- what is told ---------------------------------------------------------------------------------

create function backfill.run_facts(p_run bigint)
returns jsonb language sql stable set search_path = pg_catalog, pg_temp as $$
    select jsonb_build_object(
               'task', r.task, 'run', r.run, 'status', r.status, 'exit_reason', r.exit_reason, 'source', r.source, 'requested_by', r.requested_by,
               'started_at', to_char(r.started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
               'ended_at', to_char(r.ended_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
               'found', r.found, 'found_exact', r.found_exact, 'processed', r.processed, 'ok', r.ok, 'nothing_found', r.nothing_found,
               'skipped', r.skipped, 'failed', r.failed, 'retried', r.retried, 'spend_usd', trim_scale(r.spend_usd))
      from backfill.runs r where r.run = p_run
$$;
comment on function backfill.run_facts(bigint) is 'A run and its counts as hooks are told of it; times in UTC, money in US dollars.';

create function backfill.hook_message(p_moment text, p_run bigint)
returns jsonb language sql stable set search_path = pg_catalog, pg_temp as $$
    select jsonb_build_object(
               'type', case p_moment when 'before_run' then 'run.started' when 'after_batch' then 'batch.finished' when 'after_run' then 'run.ended' else p_moment end,
               'timestamp', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
               'data', coalesce(backfill.run_facts(p_run), '{}'))
$$;
comment on function backfill.hook_message(text, bigint) is 'What hooks are told at a moment: type (run.started, batch.finished, run.ended or test), timestamp, and data: see run_facts().';

create function backfill.tell_webhooks(p_moment text, p_task text, p_run bigint)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    insert into backfill.delivery (webhook, moment, task, run_id, body)
    select w.name, p_moment, p_task, p_run, backfill.hook_message(p_moment, p_run)
      from backfill.webhook w
     where w.enabled and p_moment = any (w.moments) and (w.task is null or w.task = p_task)
$$;
comment on function backfill.tell_webhooks(text, text, bigint) is 'Writes a delivery for each webhook that is to be told.';

create function backfill.tell_batches(p_task text, p_run bigint, p_last boolean default false)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_told backfill.run_batch;
    v_count bigint;
    v_body jsonb;
begin
    if not exists (select from backfill.webhook w where w.enabled and 'after_batch' = any (w.moments) and (w.task is null or w.task = p_task))
       or not p_last and not exists (select from backfill.run r where r.id = p_run and r.status <> 'ended') then
        return;
    end if;
    select coalesce(sum(x.ok + x.nothing_found + x.skipped + x.failed + x.retried), 0) into v_count from backfill.runner x where x.run_id = p_run;
    if v_count = 0 then
        return;
    end if;
    if not exists (select from backfill.run_batch b where b.run_id = p_run) then
        insert into backfill.run_batch (run_id) values (p_run) on conflict do nothing;
    end if;
    -- whoever has it locked is telling, and what is missed is told next time; at the run's end
    -- there may be no next time, and nobody who tells waits for anything
    if p_last then
        select * into v_told from backfill.run_batch b where b.run_id = p_run for update;
    else
        select * into v_told from backfill.run_batch b where b.run_id = p_run and b.told < v_count and b.told_at <= clock_timestamp() - interval '0.9 seconds' for update skip locked;
    end if;
    if not found or v_told.told >= v_count then
        return;
    end if;
    update backfill.run_batch b set told = v_count, told_at = clock_timestamp() where b.run_id = p_run;
    v_body := backfill.hook_message('after_batch', p_run);
    -- Counts are those of the run so far, so the newest says all: one that nobody has sent yet, or
    -- that waits for another attempt, becomes the newest, with an id that no server has seen.
    with anew as (
        update backfill.delivery d set id = gen_random_uuid(), body = v_body, created_at = clock_timestamp()
         where d.id = any (array(
               select o.id from backfill.delivery o
                where o.run_id = p_run and o.moment = 'after_batch' and o.state = 'waiting' and o.taken_at is null for update skip locked))
        returning d.webhook
    )
    insert into backfill.delivery (webhook, moment, task, run_id, body)
    select w.name, 'after_batch', p_task, p_run, v_body
      from backfill.webhook w
     where w.enabled and 'after_batch' = any (w.moments) and (w.task is null or w.task = p_task)
       and not exists (select from anew a where a.webhook = w.name);
end $$;
comment on function backfill.tell_batches(text, bigint, boolean) is
    'Tells webhooks how far a run has come, at most once a second, unless it is the last time. Waits for nobody but then. Called by heartbeat() and as a run ends.';

create or replace function backfill.heartbeat(p_runner bigint, p_note text default null)
returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_runner backfill.runner;
begin
    update backfill.runner r set heartbeat_at = clock_timestamp(), note = p_note
     where r.id = p_runner and r.status = 'live' returning r.* into v_runner;
    if v_runner.id is not null then
        perform backfill.tell_batches(v_runner.task, v_runner.run_id);
    end if;
    return coalesce(v_runner.status, 'lost');
end $$;
comment on function backfill.heartbeat(bigint, text) is 'Sign of life, with what the process waits for; returns live, or lost where it was presumed dead meanwhile. Webhooks are told of batches.';

create function backfill.run_was_started() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform backfill.tell_webhooks('before_run', new.task, new.id);
    return null;
end $$;
comment on function backfill.run_was_started() is 'Tells webhooks of a run that was started.';
create trigger run_is_started after insert on backfill.run
    for each row execute function backfill.run_was_started();
comment on trigger run_is_started on backfill.run is 'However a run is started, webhooks are told, where that commits.';

create function backfill.run_has_ended() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform backfill.tell_batches(new.task, new.id, true);
    delete from backfill.run_batch b where b.run_id = new.id;
    perform backfill.tell_webhooks('after_run', new.task, new.id);
    return null;
end $$;
comment on function backfill.run_has_ended() is 'Tells webhooks of a run that ended, and of its last batches.';
create trigger run_ends after update of status on backfill.run
    for each row when (new.status = 'ended' and old.status <> 'ended') execute function backfill.run_has_ended();
comment on trigger run_ends on backfill.run is 'However a run ends, webhooks are told.';

-- --- setting webhooks -----------------------------------------------------------------------------

create function backfill.has_webhooks()
returns boolean language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select exists (select from backfill.webhook w where w.enabled)
$$;
comment on function backfill.has_webhooks() is 'Whether anybody is to be told of anything.';

create function backfill.webhook_host(p_url text)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select substring(p_url from '^[^/]*//[^/?]*') || case when p_url ~ '//[^/?]+/?$' then '' else '/...' end
$$;
comment on function backfill.webhook_host(text) is 'As much of a webhook''s address as may be shown: what follows the host is often a secret.';

create function backfill.new_webhook_secret()
returns bytea language sql volatile set search_path = pg_catalog, pg_temp as $$
    -- 122 random bits each
    select sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
$$;
comment on function backfill.new_webhook_secret() is '32 random bytes.';

create function backfill.known_webhook(p_name text)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform from backfill.webhook w where w.name = p_name for update;
    if not found then
        raise exception 'there is no webhook named %', quote_literal(p_name)
            using errcode = 'BF030', hint = 'there are: ' || coalesce((select string_agg(w.name, ', ' order by w.name) from backfill.webhook w), 'none');
    end if;
end $$;
comment on function backfill.known_webhook(text) is 'Locks a webhook, or an error that names those there are.';

create function backfill.set_webhook(
    p_name text, p_url text default null, p_moments text[] default null, p_task text default null,
    p_max_attempts integer default null, p_enabled boolean default null, p_secret text default null)
returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_old backfill.webhook;
    v_secret bytea;
begin
    if p_task is not null then
        perform backfill.known_task(p_task);
    end if;
    if p_secret is not null then
        if p_secret !~ '^whsec_[A-Za-z0-9+/]+={0,2}$' then
            raise exception 'a webhook''s secret is whsec_ and 24 to 64 bytes in base64'
                using errcode = 'invalid_parameter_value', hint = 'without one, a secret is made and returned';
        end if;
        v_secret := decode(substring(p_secret from 7), 'base64');
    end if;
    select * into v_old from backfill.webhook w where w.name = p_name for update;
    if v_old.name is null and p_url is null then
        raise exception 'there is no webhook named %', quote_literal(p_name)
            using errcode = 'BF030', hint = format('a new one needs an address: select backfill.set_webhook(%L, ''https://...'')', p_name);
    end if;
    if v_old.name is null then
        v_secret := coalesce(v_secret, backfill.new_webhook_secret());
    end if;
    insert into backfill.webhook (name, url, moments, task, enabled, max_attempts, secret)
    values (p_name, coalesce(p_url, v_old.url), coalesce(p_moments, v_old.moments, array['after_run']), coalesce(p_task, v_old.task),
            coalesce(p_enabled, v_old.enabled, true), coalesce(p_max_attempts, v_old.max_attempts, 10), coalesce(v_secret, v_old.secret))
    on conflict (name) do update
       set url = excluded.url, moments = excluded.moments, task = excluded.task, enabled = excluded.enabled, max_attempts = excluded.max_attempts,
           secret = excluded.secret, note = case when excluded.enabled then null else webhook.note end, set_by = backfill.actor(), set_at = clock_timestamp();
    return case when v_old.name is null and p_secret is null then 'whsec_' || encode(v_secret, 'base64') end;
end $$;
comment on function backfill.set_webhook(text, text, text[], text, integer, boolean, text) is
    'Sets a webhook, a new one or one that is there; what is null stays as it is. Returns the secret of a new one, which nobody is shown again, unless one was given.';

create function backfill.rotate_webhook_secret(p_name text, p_overlap interval default '24 hours')
returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_secret bytea := backfill.new_webhook_secret();
begin
    perform backfill.known_webhook(p_name);
    update backfill.webhook w
       set old_secret = w.secret, old_until = clock_timestamp() + p_overlap, secret = v_secret, set_by = backfill.actor(), set_at = clock_timestamp()
     where w.name = p_name;
    return 'whsec_' || encode(v_secret, 'base64');
end $$;
comment on function backfill.rotate_webhook_secret(text, interval) is 'Gives a webhook a new secret and returns it; the old one signs too until the overlap is over.';

create function backfill.drop_webhook(p_name text)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform backfill.known_webhook(p_name);
    delete from backfill.webhook w where w.name = p_name;
end $$;
comment on function backfill.drop_webhook(text) is 'Takes a webhook away, with what was not sent yet.';

create function backfill.test_webhook(p_name text)
returns uuid language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_id uuid;
begin
    perform backfill.known_webhook(p_name);
    insert into backfill.delivery (webhook, moment, body) values (p_name, 'test', backfill.hook_message('test', null)) returning id into v_id;
    return v_id;
end $$;
comment on function backfill.test_webhook(text) is 'Writes a message of type test to a webhook, also one that is disabled; it is tried once. Returns the delivery.';

create function backfill.webhook_was_set() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'DELETE' then
        update backfill.delivery d set state = 'failed', ended_at = clock_timestamp(), taken_at = null, error = 'the webhook was dropped'
         where d.webhook = old.name and d.state = 'waiting';
        perform backfill.log_event('drop_webhook', old.task, null, jsonb_build_object('webhook', old.name));
    else
        -- neither a secret nor an address in the audit, which everybody may read
        perform backfill.log_event('set_webhook', new.task, null, jsonb_build_object(
            'webhook', new.name, 'host', backfill.webhook_host(new.url), 'moments', new.moments, 'enabled', new.enabled, 'max_attempts', new.max_attempts,
            'secret', case when tg_op = 'INSERT' then 'new' when old.secret <> new.secret then 'changed' else 'the same' end) || coalesce(jsonb_build_object('note', new.note), '{}'));
    end if;
    return null;
end $$;
comment on function backfill.webhook_was_set() is 'Puts a webhook that was set or dropped into the audit.';
create trigger webhook_is_set after insert or update or delete on backfill.webhook
    for each row execute function backfill.webhook_was_set();
comment on trigger webhook_is_set on backfill.webhook is 'However a webhook is set, it leaves its event.';

-- --- sending --------------------------------------------------------------------------------------

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
        where x.webhook = w.name and x.error is not null order by x.created_at desc limit 1) f on true;
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

-- --- commands -------------------------------------------------------------------------------------

create function backfill.take_command(p_run bigint, p_moment text, p_host text, p_pid integer, p_lasts interval)
returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_state text;
begin
    if p_moment = 'after_run' and not exists (select from backfill.run r where r.id = p_run and r.status = 'ended') then
        return 'none';
    end if;
    insert into backfill.run_command as c (run_id, moment, host, pid, due_at)
    values (p_run, p_moment, p_host, p_pid, clock_timestamp() + p_lasts)
    on conflict (run_id, moment) do update
       set host = excluded.host, pid = excluded.pid, began_at = clock_timestamp(), due_at = excluded.due_at
     where c.state = 'running' and (c.due_at < clock_timestamp() or (c.host, c.pid) = (excluded.host, excluded.pid));
    if found then
        return 'mine';
    end if;
    select c.state into v_state from backfill.run_command c where c.run_id = p_run and c.moment = p_moment;
    return v_state;
end $$;
comment on function backfill.take_command(bigint, text, text, integer, interval) is
    'Which of a run''s processes runs a command before or after it: mine, or the state of whose it is (running, done, failed); none: it has not ended yet. One that is overdue is handed on.';

create function backfill.note_command(p_run bigint, p_moment text, p_host text, p_pid integer, p_error text, p_again boolean default false)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if p_again then
        delete from backfill.run_command c where c.run_id = p_run and c.moment = p_moment and c.host = p_host and c.pid = p_pid and c.state = 'running';
        return;
    end if;
    update backfill.run_command c
       set state = case when p_error is null then 'done' else 'failed' end, ended_at = clock_timestamp(), error = left(p_error, 500)
     where c.run_id = p_run and c.moment = p_moment and c.host = p_host and c.pid = p_pid and c.state = 'running';
    if found and p_error is not null then
        perform backfill.log_event('hook_failed', (select r.task from backfill.run r where r.id = p_run), p_run,
            jsonb_build_object('moment', p_moment, 'host', p_host, 'pid', p_pid, 'error', left(p_error, 500)));
    end if;
end $$;
comment on function backfill.note_command(bigint, text, text, integer, text, boolean) is 'Takes down how a command ended, p_error null where it ended well, or, with p_again, that another process may run it. A failure leaves an event.';
