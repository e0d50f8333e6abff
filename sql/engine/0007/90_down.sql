-- pgbackfill, engine: remove what revision 7 made; the functions that it replaced are then made anew from
-- the scripts of earlier revisions. Runs with a limit for each group are ended: without it they would
-- take all there is.

select backfill.end_run(r.id, 'cancelled') from backfill.run r where r.limit_by is not null and r.status <> 'ended' order by r.id;
drop function backfill.halt(bigint, text), backfill.count_pending(text, text, boolean, integer, jsonb), backfill.preview(text, text, boolean, integer, jsonb),
    backfill.create_run(text, jsonb, text, bigint, boolean, integer, integer, text, bigint, bigint, bigint, boolean),
    backfill.start(text, jsonb, text, bigint, boolean, integer, integer, text), backfill.end_run(bigint, text),
    backfill.discover(bigint, integer), backfill.group_limit(text, jsonb),
    backfill.enqueue_each(bigint, text[], text[], text[], text[], text[], timestamptz, text, text, boolean);
drop table backfill.sweep_group;
alter table backfill.sweep drop column passed_over;
comment on column backfill.sweep.lane is '0, or the lane of a run with a condition of its own.';
alter table backfill.run drop column limit_by, drop column limit_each;
update backfill.run set lane = 0 where where_sql is null and lane <> 0;
alter table backfill.run
    add constraint run_filter_has_a_lane check ((where_sql is null) = (lane = 0));
comment on column backfill.run.lane is 'The lane of jobs it takes from: 0, which every run shares, or a lane of its own where it has a condition.';
