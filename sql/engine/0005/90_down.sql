-- pgbackfill, engine: remove what revision 5 made; claim(), finish(), rescue() and the functions that say
-- who may do what are then made anew from the scripts of earlier revisions. Suspects of a crash are
-- then tried one at a time.

drop function backfill.claim(bigint, integer, bigint, timestamptz, boolean);
drop function backfill.kept_objects(text[]), backfill.storing_tasks(), backfill.settle(uuid, numeric), backfill.reserve(uuid, bigint, text, numeric, numeric);
drop view backfill.run_figures;
drop table backfill.reservation, backfill.run_meter, backfill.run_figure;
update backfill.run set exit_reason = 'limit' where exit_reason = 'budget';
alter table backfill.run
    drop column spent_out,
    drop constraint run_exit_reason_is_known,
    add constraint run_exit_reason_is_known check (exit_reason in
        ('done', 'limit', 'max_duration', 'paused', 'cancelled', 'interrupted', 'lost', 'error'));
comment on column backfill.run.exit_reason is 'Why it ended: done, limit, max_duration, paused, cancelled, interrupted, lost (all its processes died) or error.';

alter table backfill.runner drop column steps;
update backfill.job set steps = 100 where steps > 100;
alter table backfill.job
    drop constraint job_comes_to_an_end,
    add constraint job_comes_to_an_end check (steps between 0 and 100);
comment on column backfill.job.steps is 'Steps of a job in several steps that are done, 100 at most; 0 again when it is finished.';
alter table backfill.job drop column suspects;
comment on column backfill.job.solo is 'Orphaned by a crash: to be tried by a process that does nothing else meanwhile, so that only a row that kills its process is blamed.';
comment on column backfill.running.alone is 'Whether it is tried alone, after a crash.';
