-- pgbackfill, engine: tables
--
-- A task says what is to be computed for which rows; a job is one (task, row) and carries the
-- whole state of that row's work; a run is one start of a task; a runner is one process's stay at
-- a run. Claiming, finishing and everything an operator does are functions in the files beside
-- this one; nothing but those functions writes here.

create table backfill.task (
    name          text primary key,
    summary       text not null default '',
    version       integer not null default 1,
    batch_size    integer not null default 100,
    delay_ms      integer not null default 0,
    max_attempts  integer not null default 3,
    backoff_base  interval not null default '2 seconds',
    backoff_max   interval not null default '10 minutes',
    retry_wait    interval not null default '5 minutes',
    lease         interval not null default '60 seconds',
    look_ahead    integer not null default 5000,
    paused_at     timestamptz,
    paused_by     text,
    paused_reason text,
    binding       jsonb not null default '{}',
    added         text[] not null default '{}',
    created_at    timestamptz not null default now(),
    constraint task_name_is_an_identifier check (name ~ '^[a-z][a-z0-9_]{0,47}$'),
    constraint task_version_is_positive check (version > 0),
    constraint task_batch_size_in_range check (batch_size between 1 and 10000),
    constraint task_delay_in_range check (delay_ms between 0 and 3600000),
    constraint task_max_attempts_in_range check (max_attempts between 1 and 100),
    constraint task_backoff_grows check (backoff_base > '0' and backoff_max >= backoff_base),
    constraint task_retry_wait_is_not_negative check (retry_wait >= '0'),
    constraint task_lease_is_long_enough check (lease >= '3 seconds'),
    constraint task_look_ahead_in_range check (look_ahead between 1 and 1000000),
    constraint task_pause_says_who check ((paused_at is null) = (paused_by is null)),
    constraint task_pause_reason_needs_a_pause check (paused_reason is null or paused_at is not null)
);
comment on table backfill.task is 'One row a backfill. Updating limits and pacing here steers running processes from their next claim on.';
comment on column backfill.task.name is 'The task; its view is backfill.needs_<name>, its apply function backfill.apply_<name>(jsonb).';
comment on column backfill.task.summary is 'What the task does, in one sentence.';
comment on column backfill.task.version is 'Version of algorithm and parameters. Raising it makes rows finished under a lower one need work again.';
comment on column backfill.task.batch_size is 'Jobs a process claims at once, unless its run says otherwise.';
comment on column backfill.task.delay_ms is 'Milliseconds a process waits between two claims, unless its run says otherwise.';
comment on column backfill.task.max_attempts is 'Failed attempts after which a job is failed for good.';
comment on column backfill.task.backoff_base is 'Wait before the first retry; doubles with each further one, with jitter.';
comment on column backfill.task.backoff_max is 'Longest wait before a retry.';
comment on column backfill.task.retry_wait is 'A run stays for retries that are due within this time and leaves later ones to the next run.';
comment on column backfill.task.lease is 'A runner whose heartbeat is older than this is presumed dead, whatever its connection.';
comment on column backfill.task.look_ahead is 'Jobs kept enqueued ahead of the runners.';
comment on column backfill.task.paused_at is 'Since when the task is paused; null: not paused.';
comment on column backfill.task.paused_by is 'Who paused it.';
comment on column backfill.task.paused_reason is 'Why, in the words of who paused it.';
comment on column backfill.task.binding is 'Names of the application''s tables and columns that the task''s migration was given.';
comment on column backfill.task.added is 'What the task''s migration added to the application''s tables; its downgrade removes that and nothing else.';
comment on column backfill.task.created_at is 'When the task was installed.';

create table backfill.run (
    id           bigint generated always as identity primary key,
    task         text not null references backfill.task (name) on delete cascade,
    status       text not null default 'running',
    exit_reason  text,
    source       text not null default 'psql',
    requested_by text not null default session_user,
    options      jsonb not null default '{}',
    where_sql    text,
    lane         bigint not null default 0,
    retry_failed boolean not null default false,
    batch_size   integer,
    delay_ms     integer,
    max_jobs     bigint,
    taken        bigint not null default 0,
    found        bigint not null default 0,
    found_new    bigint not null default 0,
    found_again  bigint not null default 0,
    found_exact  boolean not null default true,
    started_at   timestamptz not null default clock_timestamp(),
    ended_at     timestamptz,
    constraint run_status_is_known check (status in (
        'running',     -- start() -> running
        'cancelling',  -- running -> cancelling: cancel(); runners stop at their next claim
        'ended'        -- running, cancelling -> ended: the last runner left, or all were lost
    )),
    constraint run_exit_reason_is_known check (exit_reason in
        ('done', 'limit', 'max_duration', 'paused', 'cancelled', 'interrupted', 'lost', 'error')),
    constraint run_source_is_known check (source in ('psql', 'cli', 'api', 'page', 'schedule')),
    constraint run_ended_says_when check ((status = 'ended') = (ended_at is not null)),
    constraint run_ended_says_why check ((status = 'ended') = (exit_reason is not null)),
    constraint run_limit_holds check (taken >= 0 and (max_jobs is null or (max_jobs > 0 and taken <= max_jobs))),
    constraint run_batch_size_in_range check (batch_size between 1 and 10000),
    constraint run_delay_in_range check (delay_ms between 0 and 3600000),
    constraint run_filter_has_a_lane check ((where_sql is null) = (lane = 0))
);
create index run_by_task on backfill.run (task, id);
create index run_not_ended on backfill.run (task) where status <> 'ended';
comment on table backfill.run is 'One row for each start of a task, by whoever and from wherever; its processes share its limit.';
comment on column backfill.run.id is 'The run''s number.';
comment on column backfill.run.task is 'The task that is run.';
comment on column backfill.run.status is 'running, cancelling (runners stop at their next claim) or ended.';
comment on column backfill.run.exit_reason is 'Why it ended: done, limit, max_duration, paused, cancelled, interrupted, lost (all its processes died) or error.';
comment on column backfill.run.source is 'Where it was started from: psql, cli, api, page or schedule.';
comment on column backfill.run.requested_by is 'The database user who started it.';
comment on column backfill.run.options is 'Options handed to the computation.';
comment on column backfill.run.where_sql is 'SQL condition on the needs view that narrows the run; evaluated read-only with the runner''s rights.';
comment on column backfill.run.lane is 'The lane of jobs it takes from: 0, which every run shares, or a lane of its own where it has a condition.';
comment on column backfill.run.retry_failed is 'Whether it takes up jobs that had failed before it began.';
comment on column backfill.run.batch_size is 'Jobs a process claims at once; null: what the task says.';
comment on column backfill.run.delay_ms is 'Milliseconds between two claims of a process; null: what the task says.';
comment on column backfill.run.max_jobs is 'Most jobs its processes may take together; null: no limit.';
comment on column backfill.run.taken is 'Jobs taken so far, each counted once; maintained where there is a limit.';
comment on column backfill.run.found is 'Rows that needed work when it started.';
comment on column backfill.run.found_new is 'Of these, rows without a job that was waiting already.';
comment on column backfill.run.found_again is 'Of these, rows that had been finished before and are to be done again.';
comment on column backfill.run.found_exact is 'Whether found was counted; otherwise it is the planner''s estimate.';
comment on column backfill.run.started_at is 'When it started.';
comment on column backfill.run.ended_at is 'When it ended.';

create table backfill.runner (
    id            bigint generated always as identity primary key,
    run_id        bigint not null references backfill.run (id) on delete cascade,
    task          text not null,
    task_version  integer not null,
    status        text not null default 'live',
    host          text not null,
    pid           integer not null,
    direct        boolean not null,
    started_at    timestamptz not null default clock_timestamp(),
    heartbeat_at  timestamptz not null default clock_timestamp(),
    ended_at      timestamptz,
    note          text,
    ok            bigint not null default 0,
    nothing_found bigint not null default 0,
    skipped       bigint not null default 0,
    failed        bigint not null default 0,
    retried       bigint not null default 0,
    busy_ms       bigint not null default 0,
    spend_usd     numeric(14, 6) not null default 0,
    constraint runner_status_is_known check (status in (
        'live',  -- join_run() -> live
        'left',  -- live -> left: leave()
        'lost'   -- live -> lost: rescue() found it dead
    )),
    constraint runner_gone_says_when check ((status = 'live') = (ended_at is null))
);
create index runner_by_run on backfill.runner (run_id);
create index runner_by_task on backfill.runner (task);
create index runner_live on backfill.runner (task) where status = 'live';
-- heartbeats and counters change no indexed column, so with room on the page they stay HOT
alter table backfill.runner set (fillfactor = 50);
comment on table backfill.runner is 'One row for each process''s stay at a run, with its own counters: a run''s and a task''s numbers are their sums.';
comment on column backfill.runner.id is 'The runner''s number; with a job''s attempt it is the fence that keeps late results out.';
comment on column backfill.runner.run_id is 'The run it works for.';
comment on column backfill.runner.task is 'The run''s task.';
comment on column backfill.runner.task_version is 'Version of the task''s code in this process; other than the task''s version, it gets no jobs.';
comment on column backfill.runner.status is 'live, left (it said goodbye) or lost (found dead; its jobs were given back).';
comment on column backfill.runner.host is 'Host name of the process.';
comment on column backfill.runner.pid is 'Process id on that host.';
comment on column backfill.runner.direct is 'Whether it holds a session lock, which vanishes with the process; through a transaction pooler there is only the lease.';
comment on column backfill.runner.started_at is 'When it joined.';
comment on column backfill.runner.heartbeat_at is 'Its last sign of life.';
comment on column backfill.runner.ended_at is 'When it left or was found dead.';
comment on column backfill.runner.note is 'What it is waiting for, in words; null: it is working.';
comment on column backfill.runner.ok is 'Jobs it finished with a result.';
comment on column backfill.runner.nothing_found is 'Jobs it finished without anything to find.';
comment on column backfill.runner.skipped is 'Jobs it finished as no subjects after all.';
comment on column backfill.runner.failed is 'Jobs it failed for good.';
comment on column backfill.runner.retried is 'Attempts that failed and will be tried again.';
comment on column backfill.runner.busy_ms is 'Milliseconds spent computing, summed over its threads.';
comment on column backfill.runner.spend_usd is 'What its paid calls cost, in US dollars.';

create table backfill.job (
    id            bigint generated always as identity primary key,
    task          text not null references backfill.task (name) on delete cascade,
    key           text not null,
    -- state and what explains it stand together, for whoever reads the table by eye
    state         text not null default 'ready',
    attempt       integer not null default 0,
    failures      integer not null default 0,
    error_class   text,
    error_message text,
    run_after     timestamptz,
    solo          boolean not null default false,
    lane          bigint not null default 0,
    runner_id     bigint,
    run_id        bigint,
    task_version  integer not null,
    revision      text,
    enqueued_at   timestamptz not null default now(),
    claimed_at    timestamptz,
    finished_at   timestamptz,
    constraint job_is_unique unique (task, key),
    constraint job_state_is_known check (state in (
        'ready',          -- discover() -> ready; running -> ready: retry, release, rescue; finished -> ready: reopened
        'running',        -- ready -> running: claim()
        'ok',             -- running -> ok: finish()
        'nothing_found',  -- running -> nothing_found: finish()
        'skipped',        -- running -> skipped: finish()
        'failed'          -- running -> failed: finish(), or rescue() of a row that keeps killing its process
    )),
    constraint job_ready_is_held_by_nobody check (state <> 'ready' or runner_id is null),
    constraint job_running_is_held check (state <> 'running' or (runner_id is not null and run_id is not null and claimed_at is not null and attempt > 0)),
    constraint job_finished_says_when check ((state in ('ready', 'running')) = (finished_at is null)),
    constraint job_failed_says_why check (state <> 'failed' or (error_class is not null and error_message is not null)),
    constraint job_waits_only_when_ready check (run_after is null or state = 'ready'),
    constraint job_solo_is_unfinished check (not solo or (state in ('ready', 'running') and run_after is null)),
    constraint job_counts_are_not_negative check (attempt >= 0 and failures >= 0)
);
-- Each claim reads one of the first three, bounded from both ends: fresh jobs by id, touched ones
-- (retries, handed back) by when they are due, orphans of a crash one at a time.
create index job_fresh on backfill.job (task, lane, id) where state = 'ready' and run_after is null and not solo;
create index job_due on backfill.job (task, lane, run_after) where state = 'ready' and run_after is not null;
create index job_solo on backfill.job (task, lane, id) where state = 'ready' and solo;
create index job_running on backfill.job (task, runner_id) where state = 'running';
create index job_failed on backfill.job (task, error_class) where state = 'failed';
alter table backfill.job set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
comment on table backfill.job is 'One row a (task, key): the whole state of that row''s work.';
comment on column backfill.job.id is 'Order of enqueueing.';
comment on column backfill.job.task is 'The task.';
comment on column backfill.job.key is 'The application row''s key, as text.';
comment on column backfill.job.state is 'ready, running, or finished: ok, nothing_found, skipped, failed.';
comment on column backfill.job.attempt is 'Times it was claimed; with runner_id the fence against late results. Never goes down.';
comment on column backfill.job.failures is 'Failed attempts that count against the task''s max_attempts.';
comment on column backfill.job.error_class is 'Short word for why the last attempt failed or why it was skipped, to group by.';
comment on column backfill.job.error_message is 'The same in a sentence.';
comment on column backfill.job.run_after is 'Not to be claimed before this time; null on a job that was not touched yet.';
comment on column backfill.job.solo is 'Orphaned by a crash: to be tried by a process that does nothing else meanwhile, so that only a row that kills its process is blamed.';
comment on column backfill.job.lane is '0: any run may take it; otherwise reserved for the run with this lane.';
comment on column backfill.job.runner_id is 'The runner that holds it, or that finished it.';
comment on column backfill.job.run_id is 'The run that took it last.';
comment on column backfill.job.task_version is 'The task''s version when it was enqueued, or that it was finished under.';
comment on column backfill.job.revision is 'The row''s revision when it was enqueued, or that the result was computed from.';
comment on column backfill.job.enqueued_at is 'When it was enqueued, or reopened.';
comment on column backfill.job.claimed_at is 'When it was claimed last.';
comment on column backfill.job.finished_at is 'When it was finished.';

create table backfill.sweep (
    task        text not null references backfill.task (name) on delete cascade,
    lane        bigint not null,
    reached     text,
    high        text,
    scanned     bigint not null default 0,
    enqueued    bigint not null default 0,
    counted_by  bigint,
    to_come     bigint not null default 0,
    again       bigint not null default 0,
    last_job_id bigint not null default 0,
    began_at    timestamptz,
    ended_at    timestamptz,
    primary key (task, lane),
    constraint sweep_ends_after_it_began check (ended_at is null or began_at is not null),
    constraint sweep_expects_no_less_than_nothing check (again >= 0 and to_come >= again)
);
comment on table backfill.sweep is 'The present or last pass over a task''s needs view, from the least native key to the greatest that there was when it began.';
comment on column backfill.sweep.task is 'The task.';
comment on column backfill.sweep.lane is '0, or the lane of a run with a condition of its own.';
comment on column backfill.sweep.reached is 'Native key of the last row read, as text; null: none yet.';
comment on column backfill.sweep.high is 'Greatest native key when the sweep began, as text; null: the view was empty.';
comment on column backfill.sweep.scanned is 'Rows of the view read so far.';
comment on column backfill.sweep.enqueued is 'Jobs enqueued or reopened so far.';
comment on column backfill.sweep.counted_by is 'The newest run whose count it goes by.';
comment on column backfill.sweep.to_come is 'Rows of that count that are yet to be enqueued or reopened, by it or by the next sweep.';
comment on column backfill.sweep.again is 'Of these, rows that were finished before.';
comment on column backfill.sweep.last_job_id is 'Greatest id of a job enqueued so far.';
comment on column backfill.sweep.began_at is 'When it began; null: not begun.';
comment on column backfill.sweep.ended_at is 'When it came to its end; null: not yet.';

create table backfill.tally (
    task          text primary key references backfill.task (name) on delete cascade,
    ok            bigint not null default 0,
    nothing_found bigint not null default 0,
    skipped       bigint not null default 0,
    failed        bigint not null default 0
);
comment on table backfill.tally is 'Corrections to the sums of the runners'' counters: reopened jobs are taken off, jobs of pruned runners are added.';
comment on column backfill.tally.task is 'The task.';
comment on column backfill.tally.ok is 'Correction to ok.';
comment on column backfill.tally.nothing_found is 'Correction to nothing_found.';
comment on column backfill.tally.skipped is 'Correction to skipped.';
comment on column backfill.tally.failed is 'Correction to failed.';

create table backfill.runner_minute (
    runner_id bigint not null references backfill.runner (id) on delete cascade,
    minute    timestamptz not null,
    task      text not null,
    finished  bigint not null default 0,
    failed    bigint not null default 0,
    busy_ms   bigint not null default 0,
    primary key (runner_id, minute)
);
create index runner_minute_by_task on backfill.runner_minute (task, minute);
comment on table backfill.runner_minute is 'What each runner finished in each minute; the source of rates.';
comment on column backfill.runner_minute.runner_id is 'The runner.';
comment on column backfill.runner_minute.minute is 'Beginning of the minute.';
comment on column backfill.runner_minute.task is 'The task.';
comment on column backfill.runner_minute.finished is 'Jobs finished, failed ones included.';
comment on column backfill.runner_minute.failed is 'Jobs failed for good.';
comment on column backfill.runner_minute.busy_ms is 'Milliseconds spent computing, summed over threads.';

create table backfill.attempt_error (
    id            bigint generated always as identity primary key,
    job_id        bigint not null references backfill.job (id) on delete cascade,
    task          text not null,
    key           text not null,
    attempt       integer not null,
    run_id        bigint,
    runner_id     bigint,
    error_class   text not null,
    error_message text not null,
    at            timestamptz not null default clock_timestamp(),
    retry_at      timestamptz
);
create index attempt_error_by_job on backfill.attempt_error (job_id);
comment on table backfill.attempt_error is 'One row for each failed attempt.';
comment on column backfill.attempt_error.id is 'Order of happening.';
comment on column backfill.attempt_error.job_id is 'The job.';
comment on column backfill.attempt_error.task is 'The task.';
comment on column backfill.attempt_error.key is 'The application row''s key.';
comment on column backfill.attempt_error.attempt is 'The attempt that failed.';
comment on column backfill.attempt_error.run_id is 'In which run.';
comment on column backfill.attempt_error.runner_id is 'In which process.';
comment on column backfill.attempt_error.error_class is 'Short word for the cause.';
comment on column backfill.attempt_error.error_message is 'What happened, in a sentence.';
comment on column backfill.attempt_error.at is 'When.';
comment on column backfill.attempt_error.retry_at is 'When it is tried again; null: not by itself.';

create table backfill.event (
    id     bigint generated always as identity primary key,
    at     timestamptz not null default clock_timestamp(),
    who    text not null default session_user,
    via    text not null default coalesce(nullif(current_setting('application_name', true), ''), 'unknown'),
    action text not null,
    task   text,
    run_id bigint,
    detail jsonb not null default '{}'
);
create index event_by_task on backfill.event (task, id);
comment on table backfill.event is 'Append-only audit: who did what, when.';
comment on column backfill.event.id is 'Order of happening.';
comment on column backfill.event.at is 'When.';
comment on column backfill.event.who is 'The database user.';
comment on column backfill.event.via is 'The client''s application_name.';
comment on column backfill.event.action is 'What was done: start, pause, resume, cancel, retry, end, lost, ...';
comment on column backfill.event.task is 'To which task.';
comment on column backfill.event.run_id is 'To which run.';
comment on column backfill.event.detail is 'With which particulars.';

create function backfill.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'backfill.event is append-only: % refused', lower(tg_op)
        using errcode = 'insufficient_privilege', hint = 'delete old events as the schema''s owner with the trigger event_is_append_only disabled';
end $$;
comment on function backfill.refuse_change() is 'Keeps the audit append-only.';
create trigger event_is_append_only before update or delete or truncate on backfill.event
    for each statement execute function backfill.refuse_change();
comment on trigger event_is_append_only on backfill.event is 'Keeps the audit append-only.';
