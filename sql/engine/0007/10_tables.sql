-- pgbackfill, engine: a limit for each group, such as ten rows of each user
--
-- A run whose options say limit_by, a column of the needs view, and limit_each takes that many rows
-- for each value of the column, all its processes together. Only rows that it takes count: those
-- that failed for good before, or that another run has in hand, leave their place to the next ones.
--
-- Such a run has a lane of its own, as one with a condition has. Its sweep, which one process at a
-- time makes, enqueues of each group no more than its share; the claims need not know of it. How much
-- of each share is taken is written in the sweep's transaction and goes with the sweep.

alter table backfill.run
    add column limit_by text,
    add column limit_each bigint,
    add constraint run_group_limit_is_whole check ((limit_by is null) = (limit_each is null) and limit_each > 0),
    drop constraint run_filter_has_a_lane,
    add constraint run_filter_has_a_lane check ((where_sql is null and limit_by is null) = (lane = 0));
comment on column backfill.run.limit_by is 'Column of the needs view by which rows are grouped for limit_each, from its options; null: no such limit.';
comment on column backfill.run.limit_each is 'Most rows of each group that its processes may take together.';
comment on column backfill.run.lane is 'The lane of jobs it takes from: 0, which every run shares, or a lane of its own where it has a condition or a limit for each group.';

alter table backfill.sweep add column passed_over bigint not null default 0;
comment on column backfill.sweep.lane is '0, or the lane of a run with a condition or a limit for each group.';
comment on column backfill.sweep.passed_over is 'Rows that need work and were not enqueued, since their group had its share.';

create table backfill.sweep_group (
    task  text not null,
    lane  bigint not null,
    grp   text not null,
    taken bigint not null,
    primary key (task, lane, grp),
    foreign key (task, lane) references backfill.sweep (task, lane) on delete cascade
);
comment on table backfill.sweep_group is 'How many rows of each group a sweep has enqueued, of a run with a limit for each; goes when the run ends.';
comment on column backfill.sweep_group.task is 'The task.';
comment on column backfill.sweep_group.lane is 'The lane of the run, which is its number.';
comment on column backfill.sweep_group.grp is 'The group: a value of the run''s column as a SQL literal; the MD5 of one that is longer than 200 characters.';
comment on column backfill.sweep_group.taken is 'Rows enqueued, or taken over from the common lane.';
