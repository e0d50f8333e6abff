-- face_index: faces that somebody has to look at

create view backfill.faces_to_review as
select r.face, r.asset, r.user_id, r.url, r.bounding_box, r.confidence,
       -- what was decided says nothing of who was named since
       case when r.decision = 'unknown' and r.suggestions <> '[]' then 'like somebody who was named after it was compared' else r.reason end as reason,
       r.suggestions, r.created_at
  from (
       select f.id as face, f.asset_id as asset, f.user_id, a.{url} as url, f.bounding_box, f.confidence, s.reason, s.decision,
              coalesce((select jsonb_agg(to_jsonb(o) - 'place' order by o.place)
                          from (select p.id as person, coalesce(nullif(p.display_name, ''), p.name) as name, m.similarity,
                                       k.id as face, k.asset_id as asset, b.{url} as url, k.bounding_box,
                                       row_number() over (order by m.similarity desc, p.id) as place
                                  from (select distinct on (w.person) w.person, m.other, m.similarity
                                          from backfill.face_alike(f.id) m
                                         cross join lateral backfill.face_people(f.user_id, m.other) as w (person)
                                         where m.similarity >= 80
                                         order by w.person, m.similarity desc, m.other) m
                                  -- not whom somebody has taken from this face before
                                  join {people} p on p.id = m.person
                                   and not exists (select from {links} l where l.face_id = f.id and l.person_group_id = p.id)
                                  join {faces} k on k.user_id = f.user_id and k.rekognition_face_id = m.other
                                  join {table} b on b.{key} = k.asset_id
                                 order by m.similarity desc, p.id limit 3) o), '[]') as suggestions,
              f.created_at
         from {faces} f
         join {table} a on a.{key} = f.asset_id
         left join backfill.face_state s on s.face = f.id
        where f.needs_assignment and f.deleted is not true and f.skipped is not true and {asset_is_there}
          -- one that is being compared may find its person yet
          and (s.face is null or s.decision is not null)) r;
comment on view backfill.faces_to_review is 'Faces that nobody is linked to, with the people they are most like as these are known now.';
comment on column backfill.faces_to_review.face is 'The face.';
comment on column backfill.faces_to_review.asset is 'The picture that it is in.';
comment on column backfill.faces_to_review.user_id is 'Whose picture that is.';
comment on column backfill.faces_to_review.url is 'Where the picture is.';
comment on column backfill.faces_to_review.bounding_box is 'Left, Top, Width, Height as shares of the upright picture.';
comment on column backfill.faces_to_review.confidence is 'How sure it is that this is a face, 0 to 1.';
comment on column backfill.faces_to_review.reason is 'Why nobody was linked, in words; null: the application found it.';
comment on column backfill.faces_to_review.suggestions is 'The three likeliest people: person, name, similarity in percent, and the face of theirs (face, asset, url, bounding_box) that is like this one.';
comment on column backfill.faces_to_review.created_at is 'When it was found.';

create function backfill.assign_face(p_face {face_type}, p_person {person_type})
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_user {user_type};
begin
    select f.user_id into v_user from {faces} f where f.id = p_face for no key update;
    if v_user is null or not exists (select from {people} p where p.id = p_person and p.user_id = v_user and p.deleted is not true) then
        raise exception 'face % and person % are not of one user', p_face, p_person using errcode = '22023';
    end if;
    update {links} l set deleted = true where l.face_id = p_face and l.deleted is not true and l.person_group_id <> p_person;
    update {links} l set deleted = false, assigned_by = 'user', assigned_at = now() where l.face_id = p_face and l.person_group_id = p_person;
    if not found then
        insert into {links} (face_id, person_group_id, confidence, assigned_by, assigned_at, deleted)
        values (p_face, p_person, 1, 'user', now(), false);
    end if;
    update {faces} f set needs_assignment = false, auto_assigned = false, skipped = false where f.id = p_face;
end $$;
comment on function backfill.assign_face({face_type}, {person_type}) is 'Links a face to a person of the same user, and to nobody else.';

create function backfill.skip_face(p_face {face_type})
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    update {faces} f set skipped = true where f.id = p_face;
    if not found then
        raise exception 'there is no face %', p_face using errcode = '22023';
    end if;
end $$;
comment on function backfill.skip_face({face_type}) is 'Leaves a face without a person, and asks no more whom it shows.';

create function backfill.assign_alike(p_user {user_type} default null)
returns bigint language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_linked bigint;
begin
    -- A link that somebody is adding refers to its face: it is waited for, and seen below.
    perform from {faces} f
      where (p_user is null or f.user_id = p_user) and f.needs_assignment and f.deleted is not true and f.skipped is not true
      order by f.id for update;
    -- the rules by which a run decides: clearly the likeliest person, and clearly the face of its picture
    with likely as (
        select r.face, r.asset, (r.suggestions -> 0 ->> 'person')::{person_type} as person, (r.suggestions -> 0 ->> 'similarity')::numeric as similarity,
               coalesce((r.suggestions -> 1 ->> 'similarity')::numeric, 0) as next_person
          from backfill.faces_to_review r
         where (p_user is null or r.user_id = p_user) and jsonb_array_length(r.suggestions) > 0
    ), ranked as (
        select l.*, row_number() over w as place, coalesce(lead(l.similarity) over w, 0) as next_face
          from likely l where l.similarity >= 95 and l.similarity - l.next_person >= 1
        window w as (partition by l.asset, l.person order by l.similarity desc)
    ), chosen as materialized (
        select r.face, r.person, r.similarity from ranked r join {faces} f on f.id = r.face
         where r.place = 1 and r.similarity - r.next_face >= 1
           and not exists (select from {faces} o join {links} l on l.face_id = o.id and l.deleted is not true
                            where o.asset_id = r.asset and o.deleted is not true and (l.person_group_id = r.person or o.id = r.face))
         order by f.id for update of f
    ), added as (
        insert into {links} (face_id, person_group_id, confidence, assigned_by, assigned_at, deleted)
        select c.face, c.person, round(c.similarity / 100, 4), 'system', now(), false from chosen c order by c.face
        on conflict do nothing
        returning face_id
    ), flagged as (
        update {faces} f set needs_assignment = false, auto_assigned = true from added d where f.id = d.face_id
    ), noted as (
        update backfill.face_state s
           set decision = 'assign', reason = format('%s %% like this person, who was named later', trunc(c.similarity, 1)), decided_at = clock_timestamp()
          from chosen c join added d on d.face_id = c.face
         where s.face = c.face
    )
    select count(*) into v_linked from added;
    return v_linked;
end $$;
comment on function backfill.assign_alike({user_type}) is
    'Links faces that wait for somebody to people who were named after the faces were compared, by the rules of a run and without any call; null: of all users. Returns how many; whom that makes known the next call may find.';

create function backfill.face_index_reset(p_user {user_type}, out collection text, out faces bigint, out assets bigint)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- one that had no face is done again only where its revision is another one
    update backfill.job j set revision = null from {table} a
     where a.{user_id} = p_user and j.task = 'face_index' and j.key = a.{key}::text and j.finished_at is not null;
    delete from {collections} c where c.user_id = p_user returning c.aws_collection_id into collection;
    delete from {faces} f where f.user_id = p_user and f.asset_id in (select s.asset from backfill.face_asset s where s.user_id = p_user);
    get diagnostics faces = row_count;
    delete from backfill.face_asset s where s.user_id = p_user;
    get diagnostics assets = row_count;
end $$;
comment on function backfill.face_index_reset({user_type}) is
    'Forgets the faces of a user''s pictures that were found here, with their links, also those that people made, so that the pictures are done anew, by another engine too. The collection is to be deleted with the provider: aws rekognition delete-collection.';

create function backfill.summary_face_index(p_run bigint)
returns table (name text, amount numeric, next_step text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select 'users', count(distinct s.user_id), null
      from backfill.run r join backfill.face_asset s on s.done_at between r.started_at and coalesce(r.ended_at, clock_timestamp())
     where r.id = p_run
    union all
    select case count(*) when 1 then 'face needs a person' else 'faces need a person' end, count(*), 'backfill faces review'
      from {faces} f left join backfill.face_state s on s.face = f.id
     where f.needs_assignment and f.deleted is not true and f.skipped is not true and (s.face is null or s.decision is not null)
$$;
comment on function backfill.summary_face_index(bigint) is
    'Lines of a run''s summary: users whose pictures were done while it ran, and the faces of all users that somebody has to look at.';

create view backfill.face_index_coverage as
select count(*) as pictures, count(distinct a.{user_id}) as users,
       count(*) filter (where s.state = 'done' or (s.asset is null and f.faces > 0)) as done,
       count(*) filter (where s.state = 'done' and s.found = 0) as without_faces,
       count(*) filter (where s.state = 'found') as being_compared,
       coalesce(sum(f.faces), 0)::bigint as faces, coalesce(sum(f.auto_assigned), 0)::bigint as auto_assigned,
       coalesce(sum(f.needs_assignment), 0)::bigint as to_review
  from {table} a
  left join backfill.face_asset s on s.asset = a.{key}
  left join lateral (
       select count(*) as faces, count(*) filter (where f.auto_assigned) as auto_assigned,
              count(*) filter (where f.needs_assignment and f.skipped is not true and (d.face is null or d.decision is not null)) as needs_assignment
         from {faces} f left join backfill.face_state d on d.face = f.id where f.asset_id = a.{key} and f.deleted is not true) f on true
 where {needs_condition};
comment on view backfill.face_index_coverage is 'How many pictures are done, and what was found in them. Reads the whole tables.';
comment on column backfill.face_index_coverage.pictures is 'Pictures whose faces are looked for.';
comment on column backfill.face_index_coverage.users is 'Users who have any.';
comment on column backfill.face_index_coverage.done is 'Those that are done, also by the application itself.';
comment on column backfill.face_index_coverage.without_faces is 'Of these, without a face.';
comment on column backfill.face_index_coverage.being_compared is 'Those whose faces are known and not all compared.';
comment on column backfill.face_index_coverage.faces is 'Faces in them.';
comment on column backfill.face_index_coverage.auto_assigned is 'Faces that were linked by their likeness.';
comment on column backfill.face_index_coverage.to_review is 'Faces that somebody has to look at.';

create view backfill.face_index_checks as
with pictures as (
    select count(*) filter (where s.state = 'done') as done,
           count(*) filter (where s.state = 'done' and s.found <> coalesce(f.faces, 0)) as miscounted,
           count(*) filter (where s.state = 'done' and f.undecided > 0) as undecided
      from backfill.face_asset s
      left join lateral (select count(*) as faces, count(*) filter (where o.decision is null) as undecided
                           from backfill.face_state o where o.asset = s.asset) f on true
), linked as (
    select count(*) as faces,
           count(*) filter (where not exists (select from {links} l where l.face_id = f.id and l.deleted is not true)) as without
      from {faces} f where f.auto_assigned and f.deleted is not true
), strangers as (
    select count(*) as links
      from {links} l join {faces} f on f.id = l.face_id join {people} p on p.id = l.person_group_id
     where l.deleted is not true and f.user_id <> p.user_id
), mixed as (
    select count(*) as pictures
      from backfill.face_asset s join {collections} c on c.user_id = s.user_id
     where (s.engine, s.engine_version, s.collection) is distinct from (c.engine, c.engine_version, c.aws_collection_id)
), twice as (
    select count(*) as pairs from (
        select from {links} l where l.deleted is not true group by l.face_id, l.person_group_id having count(*) > 1) t
)
select c.name, c.ok, c.detail
  from pictures p cross join linked k cross join strangers x cross join mixed m cross join twice t
 cross join lateral (values
       ('every picture that is done has all of its faces', p.miscounted = 0, format('%s of %s have not', p.miscounted, p.done)),
       ('every face of a picture that is done is decided about', p.undecided = 0, format('%s of %s pictures have others', p.undecided, p.done)),
       ('every face that was linked by its likeness is linked', k.without = 0, format('%s of %s are not', k.without, k.faces)),
       ('nobody is linked to a face of another user', x.links = 0, format('%s are', x.links)),
       ('no two engines are in one collection', m.pictures = 0, format('%s pictures are of another one', m.pictures)),
       ('no face is linked twice to one person', t.pairs = 0, format('%s are', t.pairs))
       ) as c (name, ok, detail);
comment on view backfill.face_index_checks is 'What should be true of faces and links. Reads the whole tables.';
comment on column backfill.face_index_checks.name is 'What should be true.';
comment on column backfill.face_index_checks.ok is 'Whether it is.';
comment on column backfill.face_index_checks.detail is 'The figures behind it.';
