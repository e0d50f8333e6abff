-- face_index: faces to review for whoever has no rights on the application's tables
--
-- faces_to_review works out suggestions with its reader's rights, and assign_face() and skip_face() do what
-- their caller may do. Readers and operators may not touch the application's tables; these functions are
-- all that they need of them.

create function backfill.review_faces(p_user text default null, p_limit bigint default null, p_face text default null)
returns setof backfill.faces_to_review language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select f.* from backfill.faces_to_review f
     where (p_user is null or f.user_id::text = p_user) and (p_face is null or f.face::text = p_face)
     order by f.user_id, f.created_at, f.face
     limit p_limit
$$;
comment on function backfill.review_faces(text, bigint, text) is 'The rows of faces_to_review, user by user, the oldest first: of one user or all, at most so many, or one face.';

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

revoke execute on function backfill.review_faces(text, bigint, text), backfill.name_face(text, text), backfill.leave_face(text) from public;
do $$
begin
    if to_regrole('backfill_reader') is not null then
        grant execute on function backfill.review_faces(text, bigint, text) to backfill_reader;
    end if;
    if to_regrole('backfill_operator') is not null then
        grant execute on function backfill.name_face(text, text), backfill.leave_face(text) to backfill_operator;
    end if;
end $$;
