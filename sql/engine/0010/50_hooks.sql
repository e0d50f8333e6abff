-- pgbackfill, engine: hooks, what is written of a run for whom
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
-- Lock order: run or runner row, then run_batch, then deliveries. These two hold no reference to a
-- run or a webhook, which would be a lock on it: somebody who cancels a run, or changes a webhook,
-- and leaves his transaction open holds up no process.

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
