-- Purpose: Has each installed task its view, with the columns it needs, and its apply function?
-- Parameters: none
-- Index: none (small catalogues)
-- Lock order: none
with piece as (
    select t.name, to_regclass(format('backfill.%I', 'needs_' || t.name)) as view,
           to_regprocedure(format('backfill.%I(jsonb)', 'apply_' || t.name)) as apply
      from backfill.task t
), missing as (
    select p.name, array_agg(c.name order by c.name) filter (where a.attname is null) as columns
      from piece p
     cross join (values ('key'), ('native_key'), ('revision')) as c (name)
      left join pg_attribute a on a.attrelid = p.view and a.attname = c.name and a.attnum > 0 and not a.attisdropped
     group by p.name
)
select case when p.view is null or p.apply is null or m.columns is not null then 'fail' else 'ok' end as level,
       case when p.view is null then format('%s: the view backfill.needs_%1$s is missing', p.name)
            when m.columns is not null then format('%s: the view backfill.needs_%1$s has no column %s', p.name, array_to_string(m.columns, ', '))
            when p.apply is null then format('%s: the function backfill.apply_%1$s(jsonb) is missing', p.name)
            else format('%s: its view and its apply function are there', p.name) end as what,
       case when p.view is null or p.apply is null or m.columns is not null
            then format('create it again, or install the task anew: backfill migrate --down %s, then backfill migrate %1$s', p.name) end as advice
  from piece p
  join missing m using (name)
 order by p.name
