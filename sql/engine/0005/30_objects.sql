-- pgbackfill, engine: objects in a storage that tasks refer to
--
-- A task that stores objects has a function backfill.keeps_<task>(text[]), which returns those of
-- the paths that its rows refer to. What no task keeps is an orphan: it was stored by a process that
-- died before it could commit.

create function backfill.storing_tasks()
returns setof text language sql stable set search_path = pg_catalog, pg_temp as $$
    select t.name from backfill.task t
     where to_regprocedure(format('backfill.%I(text[])', 'keeps_' || t.name)) is not null
     order by t.name
$$;
comment on function backfill.storing_tasks() is 'The installed tasks that store objects: those with a function keeps_<task>(text[]).';

create function backfill.kept_objects(p_paths text[])
returns setof text language plpgsql stable security definer
-- what a policy hides is kept all the same: an error, and not fewer rows
set row_security = off set search_path = pg_catalog, pg_temp as $$
declare
    v_task text;
begin
    for v_task in select backfill.storing_tasks() loop
        return query execute format('select backfill.%I($1)', 'keeps_' || v_task) using p_paths;
    end loop;
end $$;
comment on function backfill.kept_objects(text[]) is 'Those of the paths that some task''s rows refer to; may name one twice.';
