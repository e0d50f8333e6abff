-- pgbackfill, engine: guards
--
-- A guard is a threshold that a DBA sets: something that is measured (replication lag, the oldest
-- transaction, ...), above which processes slow down or are handed no jobs. Settings stand in one
-- table and what was measured in another: settings are read at each claim and hardly ever change.
--
-- A guard is measured before a claim, and not more often than its interval says for all processes
-- together: the claim that finds it due moves due_at on, which is the ticket to measure it, and
-- commits. Nothing is locked while it is measured, and a process that dies with the ticket only
-- leaves it to the next interval.

create table backfill.guard (
    name        text primary key,
    kind        text not null,
    task        text references backfill.task (name) on delete cascade,
    subject     text,
    sql         text,
    slow_above  numeric,
    hold_above  numeric,
    clear_below numeric,
    slow_by     numeric not null default 4,
    every       interval not null default '5 seconds',
    timeout     interval not null default '2 seconds',
    on_failure  text not null default 'hold',
    run_as      text not null default session_user,
    constraint guard_name_is_a_word check (name ~ '^[a-z][a-z0-9_-]{0,47}$'),
    constraint guard_kind_is_known check (kind in (
        'replication_lag',     -- seconds that a replica's replay is behind
        'replication_bytes',   -- WAL that a replica has yet to replay
        'oldest_transaction',  -- seconds that the oldest transaction of this database is open
        'active_sessions',     -- sessions at work in the whole server, processes of backfills apart
        'vacuum',              -- vacuums of the task's table that are under way
        'wal_rate',            -- bytes of WAL a second
        'sql'                  -- what its own query says
    )),
    constraint guard_has_a_threshold check (slow_above is not null or hold_above is not null),
    constraint guard_slows_before_it_holds check (slow_above < hold_above),
    constraint guard_clears_below_its_thresholds check (clear_below <= least(slow_above, hold_above)),
    constraint guard_thresholds_are_numbers check ('NaN' not in (coalesce(slow_above, 0), coalesce(hold_above, 0), coalesce(clear_below, 0))),
    constraint guard_slow_by_in_range check (slow_by > 1 and slow_by <= 1000),
    constraint guard_every_in_range check (every between '1 second' and '1 hour'),
    constraint guard_timeout_in_range check (timeout between '10 milliseconds' and '1 minute'),
    constraint guard_failure_is_known check (on_failure in ('hold', 'pass')),
    constraint guard_sql_has_a_query check ((kind = 'sql') = (sql is not null)),
    constraint guard_subject_is_of_use check (subject is null or kind in ('replication_lag', 'replication_bytes', 'vacuum')),
    constraint guard_vacuum_is_of_a_table check (kind <> 'vacuum' or subject is not null or task is not null)
);
comment on table backfill.guard is 'One row a guard: a threshold above which processes slow down or are handed no jobs. set_guard() writes it; an owner''s plain update holds from the next claim on, too.';
comment on column backfill.guard.name is 'Its name.';
comment on column backfill.guard.kind is 'What is measured: replication_lag, oldest_transaction (seconds), replication_bytes, active_sessions, vacuum (how many are under way), wal_rate (bytes a second) or sql.';
comment on column backfill.guard.task is 'The task that it holds for; null: all.';
comment on column backfill.guard.subject is 'Of replication: the replica''s application_name, null for the slowest there is. Of vacuum: the table, null for that of the task.';
comment on column backfill.guard.sql is 'A query that gives one number, or true or false for 1 and 0; evaluated read-only, with names qualified by their schema.';
comment on column backfill.guard.slow_above is 'Above this, processes slow down; null: never.';
comment on column backfill.guard.hold_above is 'Above this, no jobs are handed out; null: never.';
comment on column backfill.guard.clear_below is 'What it has begun it keeps up until the value is not above this; null: the lower of the two thresholds.';
comment on column backfill.guard.slow_by is 'Slowed down, a process waits between two claims until so many times the time has gone by that it would have taken: 4 is a quarter of the speed.';
comment on column backfill.guard.every is 'It is not measured more often than this, all processes together.';
comment on column backfill.guard.timeout is 'Longest that measuring it may take.';
comment on column backfill.guard.on_failure is 'What becomes of claims while it can''t be measured: hold or pass.';
comment on column backfill.guard.run_as is 'Of sql: the role with whose rights the query is evaluated, which is in sessions of this login only.';

create table backfill.guard_reading (
    guard        text primary key references backfill.guard (name) on delete cascade on update cascade,
    value        numeric,
    detail       text,
    error        text,
    level        text not null default 'clear',
    state        text not null default 'clear',
    reason       text,
    since        timestamptz not null default clock_timestamp(),
    evaluated_at timestamptz,
    due_at       timestamptz not null default clock_timestamp(),
    wal_at       timestamptz,
    wal_position pg_lsn,
    constraint guard_reading_level_is_known check (level in ('clear', 'slow', 'hold')),
    constraint guard_reading_state_is_known check (state in (
        'clear',  -- slow, hold -> clear: the value is not above clear_below
        'slow',   -- clear -> slow: above slow_above; hold -> slow: a failure is over
        'hold'    -- clear, slow -> hold: above hold_above, or it can't be measured and is to hold then
    )),
    constraint guard_reading_says_why check ((state = 'clear') = (reason is null))
);
-- Two versions each time that a guard is measured: an old transaction, which a guard may be about,
-- keeps them all. So it is vacuumed early, and read from the end of its index; see guard_now().
alter table backfill.guard_reading set (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
comment on table backfill.guard_reading is 'What each guard measured last, and what it does; see the view guards.';
comment on column backfill.guard_reading.guard is 'The guard.';
comment on column backfill.guard_reading.value is 'What was measured last.';
comment on column backfill.guard_reading.detail is 'Of which replica, transaction or table.';
comment on column backfill.guard_reading.error is 'Why it could not be measured; null: it could.';
comment on column backfill.guard_reading.level is 'What the values ask for, whether or not the last try failed: clear, slow or hold.';
comment on column backfill.guard_reading.state is 'What it does: clear, slow or hold.';
comment on column backfill.guard_reading.reason is 'Why, in words; null: it lets all pass.';
comment on column backfill.guard_reading.since is 'Since when it does so.';
comment on column backfill.guard_reading.evaluated_at is 'When it was measured last, or a try failed; null: not yet.';
comment on column backfill.guard_reading.due_at is 'When it is to be measured again.';
comment on column backfill.guard_reading.wal_at is 'Of wal_rate: from when on WAL is counted.';
comment on column backfill.guard_reading.wal_position is 'Of wal_rate: from where on.';
