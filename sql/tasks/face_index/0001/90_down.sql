-- face_index: remove the binding, what is known of pictures and faces, and whatever the upgrade added
-- to the application's tables. Faces and links in tables of the application's own stay, and so do
-- collections with a provider, and the shared rate.

drop view backfill.face_index_checks, backfill.face_index_coverage, backfill.faces_to_review, backfill.needs_face_index;
drop function backfill.summary_face_index(bigint);
drop function backfill.face_index_reset({user_type});
drop function backfill.assign_alike({user_type});
drop function backfill.skip_face({face_type});
drop function backfill.assign_face({face_type}, {person_type});
drop function backfill.apply_face_index(jsonb);
drop function backfill.face_index_found(jsonb);
drop function backfill.face_index_opened(jsonb);
drop function backfill.face_index_compared(jsonb);
drop function backfill.face_index_decide({key_type}, jsonb);
drop function backfill.face_matches({face_type});
drop function backfill.face_alike({face_type});
drop function backfill.face_matches_here({face_type});
drop function backfill.face_people({user_type}, text);
drop function backfill.face_similarity(double precision);
drop function backfill.face_least_distance(real[], real[]);
drop function backfill.face_distance(real[], real[]);
drop table backfill.face_match, backfill.face_state, backfill.face_asset;

do $$
declare
    v_added text[] := coalesce((select added from backfill.task where name = 'face_index'), '{{}}');
    v_table text;
    v_name text;
begin
    foreach v_name in array v_added loop
        if v_name like 'index %' then
            execute format('drop index if exists %I.%I',
                           (select x.schema from (values ({collections_index_literal}, {collections_schema_literal}), ({name_index_literal}, {collections_schema_literal}),
                                                         ({faces_index_literal}, {faces_schema_literal}), ({asset_index_literal}, {faces_schema_literal}), ({review_index_literal}, {faces_schema_literal}),
                                                         ({links_index_literal}, {links_schema_literal})) as x (name, schema)
                             where x.name = substr(v_name, 7)), substr(v_name, 7));
        end if;
    end loop;
    -- those that refer to others first
    foreach v_table in array array[{links_name}, {people_name}, {faces_name}, {collections_name}] loop
        if ('table ' || v_table) = any (v_added) then
            execute format('drop table if exists %s', v_table);
            continue;
        end if;
        foreach v_name in array v_added loop
            if v_name like 'column % of ' || replace(replace(v_table, '_', '\_'), '%', '\%') and to_regclass(v_table) is not null then
                execute format('alter table %s drop column if exists %I', v_table,
                               left(substr(v_name, 8), -length(' of ' || v_table)));
            end if;
        end loop;
    end loop;
end $$;

select backfill.unregister_task('face_index');
