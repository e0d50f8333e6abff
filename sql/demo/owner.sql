-- Purpose: tell whether any of these tables is there, and whether those that are are the demo's own.
-- Parameters: tables, an array of names. Returns one row: present, ours.
-- Locks: none beyond the catalogue's.
select count(t.oid) > 0 as present,
       coalesce(bool_and(coalesce(starts_with(obj_description(t.oid, 'pg_class'), 'pgbackfill demo: '), false))
                filter (where t.oid is not null), false) as ours
  from (select to_regclass(n.name) as oid from unnest(%(tables)s::text[]) as n (name)) t
