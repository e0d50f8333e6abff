"""What a database's catalog says, as lines of text that two databases can be compared by."""

from __future__ import annotations

import psycopg

_QUERY = r"""
with space as (
    select oid, nspname from pg_namespace
     where nspname !~ '^pg_' and nspname <> 'information_schema'
), relation as (
    select c.*, s.nspname from pg_class c join space s on s.oid = c.relnamespace
)
select format('schema %s', nspname) from space
union all
select format('relation %s.%s kind %s options %s rights %s: %s', r.nspname, r.relname, r.relkind,
              r.reloptions, r.relacl, obj_description(r.oid, 'pg_class'))
  from relation r where r.relkind in ('r', 'v', 'm', 'S', 'p')
union all
select format('column %s.%s %s: %s %s null %s default %s identity %s: %s', r.nspname, r.relname,
              row_number() over (partition by r.oid order by a.attnum), a.attname,
              format_type(a.atttypid, a.atttypmod), not a.attnotnull,
              pg_get_expr(d.adbin, d.adrelid), a.attidentity, col_description(r.oid, a.attnum))
  from relation r
  join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
  left join pg_attrdef d on d.adrelid = r.oid and d.adnum = a.attnum
 where r.relkind in ('r', 'v', 'm', 'p')
union all
select format('constraint %s on %s: %s validated %s', k.conname, k.conrelid::regclass,
              pg_get_constraintdef(k.oid), k.convalidated)
  from pg_constraint k join space s on s.oid = k.connamespace where k.conrelid <> 0
union all
select format('index %s valid %s', pg_get_indexdef(i.indexrelid), i.indisvalid)
  from pg_index i join relation r on r.oid = i.indexrelid
union all
select format('view %s.%s: %s', r.nspname, r.relname, pg_get_viewdef(r.oid))
  from relation r where r.relkind in ('v', 'm')
union all
select format('function %s rights %s: %s', pg_get_functiondef(p.oid), p.proacl,
              obj_description(p.oid, 'pg_proc'))
  from pg_proc p join space s on s.oid = p.pronamespace where p.prokind <> 'a'
union all
select format('trigger %s', pg_get_triggerdef(t.oid))
  from pg_trigger t join relation r on r.oid = t.tgrelid where not t.tgisinternal
"""


def catalog(url: str) -> list[str]:
    """Every schema, relation, column, constraint, index, view, function and trigger, sorted."""
    with psycopg.connect(url) as connection:
        # so that names are spelt out whatever the path is
        connection.execute("set local search_path = ''")
        return sorted(row[0] for row in connection.execute(_QUERY))
