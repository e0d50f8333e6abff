-- pgbackfill, engine: what a task says of a run, beside its figures
--
-- Figures are added up, so they can't count what is distinct: users, people. A task that has more to
-- say has a function backfill.summary_<task>(bigint), which is asked once, at the end of a run.

create function backfill.run_summary(p_run bigint)
returns table (name text, amount numeric, next_step text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_task text;
begin
    for v_task in
        select r.task from backfill.run r
         where r.id = p_run and to_regprocedure(format('backfill.%I(bigint)', 'summary_' || r.task)) is not null
    loop
        return query execute format('select s.name, s.amount, s.next_step from backfill.%I($1) s', 'summary_' || v_task) using p_run;
    end loop;
end $$;
comment on function backfill.run_summary(bigint) is
    'What the task''s own function summary_<task>(bigint) says of a run: a name and an amount, or, with next_step, what a person has to do about so many.';
