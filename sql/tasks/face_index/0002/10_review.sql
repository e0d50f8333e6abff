-- face_index: answers of whoever has no rights on the application's tables
--
-- assign_face() and skip_face() do what their caller may do. Operators may not touch the application's
-- tables, and these two functions are all that they need of them.

create function backfill.name_face(p_face text, p_person text)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_face {faces}.id%type := p_face;
    v_person {people}.id%type := p_person;
begin
    perform backfill.assign_face(v_face, v_person);
    perform backfill.log_event('name_face', 'face_index', null, jsonb_build_object('face', p_face, 'person', p_person));
end $$;
comment on function backfill.name_face(text, text) is 'A person says whom a face shows: links it to that person of the same user, and to nobody else.';

create function backfill.leave_face(p_face text)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_face {faces}.id%type := p_face;
begin
    perform backfill.skip_face(v_face);
    perform backfill.log_event('leave_face', 'face_index', null, jsonb_build_object('face', p_face));
end $$;
comment on function backfill.leave_face(text) is 'A person leaves a face without a name; nobody is asked again whom it shows.';

revoke execute on function backfill.name_face(text, text), backfill.leave_face(text) from public;
do $$
begin
    if to_regrole('backfill_operator') is not null then
        grant execute on function backfill.name_face(text, text), backfill.leave_face(text) to backfill_operator;
    end if;
end $$;
