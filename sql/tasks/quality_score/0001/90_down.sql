-- quality_score: remove the binding and whatever the upgrade added to the application's table

drop view backfill.quality_score_checks, backfill.quality_score_coverage, backfill.quality_score_bands, backfill.needs_quality_score;
drop function backfill.apply_quality_score(jsonb);
drop index if exists {table_schema}.{needs_index};
drop index if exists {table_schema}.{version_index};

do $$
declare
    v_added text[] := coalesce((select added from backfill.task where name = 'quality_score'), '{{}}');
begin
    if ('index ' || {score_index_literal}) = any (v_added) then
        drop index if exists {table_schema}.{score_index};
    end if;
    if ('constraint ' || {check_literal}) = any (v_added) then
        alter table {table} drop constraint if exists {check_name};
    end if;
    if 'column quality_details' = any (v_added) then
        alter table {table} drop column if exists quality_details;
    end if;
    if 'column quality_score' = any (v_added) then
        alter table {table} drop column if exists quality_score;
    end if;
end $$;

select backfill.unregister_task('quality_score');
