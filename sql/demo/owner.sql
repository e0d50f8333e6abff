-- Purpose: tell whether the sample application is there, and whether it is the demo's own.
-- Parameters: none. Returns one row: present, ours.
-- Locks: none beyond the catalogue's.
select to_regclass('public.images') is not null as present,
       coalesce(
           starts_with(obj_description(to_regclass('public.images'), 'pg_class'), 'pgbackfill demo: '),
           false
       ) as ours
