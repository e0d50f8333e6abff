-- Purpose: All that a task's page shows and its stream tells: progress, newest run, processes, rate, what happened since.
-- Parameters: task: its name; known: numbers of the rows that are known already, by process; after: the last event
--   that is settled; beyond: later events that are known; lines: events at most; failures: failed
--   attempts at most
-- Index: as the views progress, runs and activity; attempt_error_by_runner; runner_minute_by_task; runner_live; event_by_task
-- Lock order: none
select p.*, extract(epoch from p.eta)::bigint as eta_s, t.summary, t.paused_by, t.paused_reason, t.paused_at, clock_timestamp() as read_at,
       coalesce((select jsonb_agg(r.id order by r.id) from backfill.run r where r.task = t.name and r.status <> 'ended' and not r.standing), '[]') as live_runs,
       (select to_jsonb(v) - 'task' - 'elapsed' - 'where_sql' - 'busy_ms'
               || jsonb_build_object('elapsed_s', floor(extract(epoch from v.elapsed)), 'options', r.options, 'batch_size', coalesce(r.batch_size, t.batch_size))
          from backfill.runs v join backfill.run r on r.id = v.run
         where v.run = coalesce((select max(l.id) from backfill.run l where l.task = t.name and l.status <> 'ended' and not l.standing),
                                (select max(l.id) from backfill.run l where l.task = t.name and not l.standing))) as run,
       (select jsonb_build_array(jsonb_agg(coalesce(m.finished, 0) order by g.minute), jsonb_agg(coalesce(m.failed, 0) order by g.minute))
          from generate_series(date_trunc('minute', clock_timestamp()) - interval '59 minutes', date_trunc('minute', clock_timestamp()), '1 minute') as g (minute)
          left join (select x.minute, sum(x.finished) as finished, sum(x.failed) as failed
                       from backfill.runner_minute x
                      where x.task = %(task)s and x.minute > clock_timestamp() - interval '1 hour' group by x.minute) m using (minute)) as minutes,
       coalesce((select jsonb_agg(jsonb_build_object(
                   'run', r.run_id, 'runner', r.id, 'host', r.host, 'pid', r.pid, 'up', floor(extract(epoch from clock_timestamp() - r.started_at)),
                   'processed', r.ok + r.nothing_found + r.skipped + r.failed, 'failed', r.failed, 'retried', r.retried,
                   'holds', (select count(*) from backfill.job j where j.task = r.task and j.runner_id = r.id and j.state = 'running'),
                   'heartbeat', floor(extract(epoch from clock_timestamp() - r.heartbeat_at)), 'direct', r.direct, 'note', r.note,
                   'silent', r.heartbeat_at < clock_timestamp() - interval '10 seconds') order by r.id)
                   from backfill.runner r where r.task = t.name and r.status = 'live'), '[]') as runners,
       coalesce((select jsonb_agg(to_jsonb(w)) from backfill.recent_rows(t.name, %(known)s::jsonb, %(failures)s) w), '[]') as rows,
       coalesce((select jsonb_object_agg(x.runner_id, x.seq) from backfill.runner_recent x where x.task = t.name), '{}') as numbers,
       coalesce((select jsonb_agg(jsonb_build_object('id', e.id, 'at', e.at, 'run', e.run_id, 'who', coalesce(e.token, e.who), 'part', w.part, 'kind', w.kind, 'words', w.words))
                   from (select x.* from backfill.event x
                          where x.task = t.name and x.id > %(after)s and x.id <> all (%(beyond)s::bigint[])
                          order by x.id desc limit %(lines)s) e
                  cross join lateral backfill.event_words(e::backfill.event, coalesce(e.token, e.who), backfill.rows_name(t)) w), '[]') as events,
       coalesce((select jsonb_agg(x.id) from backfill.event x
                  where x.task = t.name and x.id > %(after)s and x.at > clock_timestamp() - interval '1 minute'), '[]') as fresh,
       coalesce((select max(x.id) from backfill.event x where x.task = t.name and x.at <= clock_timestamp() - interval '1 minute'), 0) as settled,
       (select max(x.id) from backfill.event x where x.task = t.name) as last_event
  from backfill.task t join backfill.progress p on p.task = t.name
 where t.name = %(task)s
