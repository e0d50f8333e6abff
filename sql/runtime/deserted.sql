-- Purpose: Runs with a lane of their own whose processes are all gone or silent: their jobs come back
--   to everybody once rescue() has ended them. Not those that workers serve, which go on. None for a run that has a lane itself: it takes from
--   that only.
-- Parameters: task: its name; run: the run that asks
-- Index: run_not_ended, runner_by_run
-- Lock order: none
select r.id as run
  from backfill.run r
 where r.task = %(task)s and r.status <> 'ended' and r.seats is null and r.lane <> 0 and r.id <> %(run)s
   and exists (select from backfill.run me where me.id = %(run)s and me.lane = 0)
   and exists (select from backfill.runner w where w.run_id = r.id)
   and not exists (
       select from backfill.runner w
        where w.run_id = r.id and w.status = 'live'
          and case when w.direct
                   then exists (select from pg_locks l where l.locktype = 'advisory' and l.objsubid = 2
                                 and l.classid = backfill.runner_lock_space()::oid and l.objid = w.id::integer::oid
                                 and l.database = (select d.oid from pg_database d where d.datname = current_database()))
                   else w.heartbeat_at > clock_timestamp() - interval '3 seconds' end)
 order by r.id
