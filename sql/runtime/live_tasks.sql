-- Purpose: How far all tasks are, for the stream of the page that lists them.
-- Parameters: none
-- Index: as the view progress
-- Lock order: none
select p.*, extract(epoch from p.eta)::bigint as eta_s, t.summary, t.paused_by, t.paused_reason, t.paused_at,
       coalesce((select jsonb_agg(r.id order by r.id) from backfill.run r where r.task = t.name and r.status <> 'ended' and not r.standing), '[]') as live_runs
  from backfill.task t join backfill.progress p on p.task = t.name
 order by t.name
