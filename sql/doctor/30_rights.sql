-- Purpose: May this role do what an operator and a runner do?
-- Parameters: none
-- Index: none (small catalogues)
-- Lock order: none
with action (word, function) as (
    values ('start runs', 'backfill.start(text,jsonb,text,bigint,boolean,integer,integer,text)'),
           ('claim', 'backfill.claim(bigint,integer,bigint,timestamptz,boolean)'),
           ('finish', 'backfill.finish(bigint,jsonb)'),
           ('pause', 'backfill.pause(text,text)'),
           ('cancel', 'backfill.cancel(bigint)'),
           ('retry', 'backfill.retry(text,text,text[])')
), lacking as (
    select 'may not ' || string_agg(a.word, ', ') as what
      from action a
     where not coalesce(has_function_privilege(to_regprocedure(a.function), 'execute'), false)
    having count(*) > 0
    union all
    select 'may not read backfill.' || string_agg(c.relname, ', backfill.' order by c.relname)
      from pg_class c
     where c.relnamespace = 'backfill'::regnamespace and c.relkind = 'v' and not has_table_privilege(c.oid, 'select')
    having count(*) > 0
)
select 'warn' as level, format('role %s %s', current_user, l.what) as what,
       'grant it, or connect as another role; for looking alone it is no trouble' as advice
  from lacking l
union all
select 'ok', format('role %s may do all that runs and operators do', current_user), null
 where not exists (select from lacking)
