-- vehicle_images: remove the binding, the outcomes, and whatever the upgrade added to the application's
-- tables. Marks in the vehicles' metadata, and pictures in a table of the application's own, stay.

drop view if exists backfill.vehicle_organizations;
drop view backfill.vehicle_images_checks, backfill.vehicle_images_coverage, backfill.needs_vehicle_images;
drop view backfill.vehicle_hosts, backfill.vehicle_urls;
drop function backfill.vehicle_images_prune();
drop function backfill.keeps_vehicle_images(text[]);
drop function backfill.fail_vehicle_images(jsonb);
drop function backfill.apply_vehicle_images(jsonb);
drop function backfill.vehicle_images_done({key_type}, text);
drop function backfill.vehicle_images_results(jsonb);
drop table backfill.vehicle_url;

do $$
declare
    v_added text[] := coalesce((select added from backfill.task where name = 'vehicle_images'), '{{}}');
    v_name text;
begin
    if ('index ' || {needs_index_literal}) = any (v_added) then
        drop index if exists {table_schema}.{needs_index};
    end if;
    if ('table ' || {images_name}) = any (v_added) then
        drop table if exists {images};
    else
        if ('index ' || {images_index_literal}) = any (v_added) then
            drop index if exists {images_schema}.{images_index};
        end if;
        if ('index ' || {path_index_literal}) = any (v_added) then
            drop index if exists {images_schema}.{path_index};
        end if;
        foreach v_name in array v_added loop
            if v_name like 'column %' then
                execute format('alter table %s drop column if exists %I', {images_name}::regclass, split_part(v_name, ' ', 2));
            end if;
        end loop;
    end if;
end $$;

select backfill.unregister_task('vehicle_images');
