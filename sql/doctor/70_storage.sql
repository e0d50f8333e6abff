-- Purpose: Is the storage in order: indexes valid, vacuum keeping up, nothing holding it back?
-- Parameters: none
-- Index: none (catalogues and statistics)
-- Lock order: none
with bound as (
    select to_regclass(b.value) as relation
      from backfill.task t
     cross join lateral jsonb_each_text(t.binding) b
     where b.key ~ '(^|_)table$' and b.value ~ '^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$'
), invalid as (
    select i.indexrelid::regclass as index, i.indrelid::regclass as relation
      from pg_index i
      join pg_class c on c.oid = i.indrelid
     where not i.indisvalid
       and (c.relnamespace = 'backfill'::regnamespace or i.indrelid in (select relation from bound))
       and not exists (select from pg_stat_progress_create_index p where p.index_relid = i.indexrelid)
), job as (
    select s.n_live_tup as live, s.n_dead_tup as dead, s.last_autovacuum from pg_stat_user_tables s where s.relid = 'backfill.job'::regclass
), holding as (
    select a.pid, a.usename, coalesce(nullif(a.application_name, ''), a.backend_type) as name, a.state,
           date_trunc('second', clock_timestamp() - a.xact_start) as age
      from pg_stat_activity a
     where a.backend_xmin is not null and a.xact_start < clock_timestamp() - interval '10 minutes' and a.pid <> pg_backend_pid()
)
select 'fail' as level, format('index %s of %s is invalid: its build was interrupted', i.index, i.relation) as what,
       format('backfill migrate builds one of its own anew; else: drop index concurrently %s', i.index) as advice
  from invalid i
union all
select 'ok', 'no index is invalid', null where not exists (select from invalid)
union all
select case when j.dead > 50000 and j.dead > 0.2 * j.live then 'warn' else 'ok' end,
       format('backfill.job: about %s rows, %s dead, last autovacuum %s', j.live, j.dead,
              coalesce(to_char(j.last_autovacuum, 'YYYY-MM-DD HH24:MI'), 'never')),
       case when j.dead > 50000 and j.dead > 0.2 * j.live then 'let it be vacuumed: vacuum (analyze) backfill.job' end
  from job j
union all
select 'fail', 'autovacuum is off', 'alter system set autovacuum = on; select pg_reload_conf()'
 where not current_setting('autovacuum')::boolean
union all
select 'warn', format('a transaction of %s (pid %s, %s) is open for %s and holds vacuum back', h.usename, h.pid, h.name, h.age),
       format('end it where it is, or: select pg_terminate_backend(%s)', h.pid)
  from holding h
