-- face_index: the binding to the application's tables. The DBA may replace any of it, as long as the
-- columns of the view and the meaning of the functions stay.

create view backfill.needs_face_index as
select a.{key}::text as key, a.{key} as native_key, md5(a.{url}) as revision,
       a.{user_id}::text as user_id, a.{url} as url,
       c.aws_collection_id as collection, case when c.deleted is not true then c.{arn} end as arn,
       case when c.aws_collection_id is not null then coalesce(c.engine, 'rekognition') end as collection_engine,
       c.engine_version as collection_version,
       s.state, s.to_delete,
       (select jsonb_agg(jsonb_build_object(
                   'face', f.id::text, 'face_id', f.rekognition_face_id, 'box', f.bounding_box, 'confidence', f.confidence, 'searched', d.searched,
                   'matches', case when f.{embedding} is null then backfill.face_matches(f.id) else backfill.face_matches_here(f.id) end)
                   order by f.rekognition_face_id)
          from backfill.face_state d join {faces} f on f.id = d.face
         where d.asset = a.{key} and d.decision is null and f.deleted is not true) as faces
  from {table} a
  left join backfill.face_asset s on s.asset = a.{key}
  left join {collections} c on c.user_id = a.{user_id}
 where {needs_condition}
   -- Two anti-joins and no "or": of these the planner knows how many rows are left, and how to go on by key.
   and not exists (select from backfill.face_asset d where d.asset = a.{key} and d.state = 'done')
   -- one whose faces the application found itself is done
   and not exists (select from {faces} f left join backfill.face_asset o on o.asset = f.asset_id
                    where f.asset_id = a.{key} and o.asset is null);
comment on view backfill.needs_face_index is 'Users'' pictures whose faces were not looked for, or are not all compared.';
comment on column backfill.needs_face_index.key is 'The picture''s key, as text.';
comment on column backfill.needs_face_index.native_key is 'The picture''s key, to scan by.';
comment on column backfill.needs_face_index.revision is 'Changes when the picture''s URL does.';
comment on column backfill.needs_face_index.user_id is 'Whose picture it is, as text.';
comment on column backfill.needs_face_index.url is 'Where the picture is.';
comment on column backfill.needs_face_index.collection is 'The user''s collection; null: there is none yet.';
comment on column backfill.needs_face_index.arn is 'Its ARN, with Rekognition.';
comment on column backfill.needs_face_index.collection_engine is 'What finds and compares the faces in it.';
comment on column backfill.needs_face_index.collection_version is 'Version of its model.';
comment on column backfill.needs_face_index.state is 'null: its faces were not looked for; found: they are known.';
comment on column backfill.needs_face_index.to_delete is 'Ids of faces that have to be deleted from the collection.';
comment on column backfill.needs_face_index.faces is 'Its faces that are not decided about, each with the known faces that are like it and whom these show.';

create function backfill.apply_face_index(results jsonb)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- what a picture that is gone would need is not written
    perform from {table} a
      where a.{key} in (select r.key::{key_type} from jsonb_to_recordset(results) as r (key text))
      order by a.{key} for key share;
    perform backfill.face_index_opened((
        select jsonb_agg(r.result || jsonb_build_object('key', r.key))
          from jsonb_to_recordset(results) as r (key text, result jsonb)
          join {table} a on a.{key} = r.key::{key_type}
         where r.result ? 'collection'));
    perform backfill.face_index_found((
        select jsonb_agg(r.result || jsonb_build_object('key', r.key))
          from jsonb_to_recordset(results) as r (key text, result jsonb)
          join {table} a on a.{key} = r.key::{key_type}
         where r.result ? 'faces'));
    perform backfill.face_index_compared((
        select jsonb_agg(r.result || jsonb_build_object('key', r.key))
          from jsonb_to_recordset(results) as r (key text, result jsonb)
          join backfill.face_asset s on s.asset = r.key::{key_type}
         where not r.result ? 'collection'));
end $$;
comment on function backfill.apply_face_index(jsonb) is 'Writes a batch of steps: faces that were found, faces that are like them, and whom they are linked to.';

create function backfill.face_index_opened(p_opened jsonb)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_mixed record;
begin
    -- In order of the users: other processes do the same. Which of the two unique indexes a row of
    -- another process meets first is not to be known, so none is named.
    insert into {collections} (user_id, aws_collection_id, {arn}, engine, engine_version, last_indexed_at)
    select distinct on (a.{user_id}) a.{user_id}, r.collection, r.arn, r.engine, r.engine_version, now()
      from jsonb_to_recordset(p_opened) as r (key text, collection text, arn text, engine text, engine_version text)
      join {table} a on a.{key} = r.key::{key_type}
     order by a.{user_id}
    on conflict do nothing;
    perform from {collections} c
      where c.user_id in (select a.{user_id} from jsonb_to_recordset(p_opened) as r (key text) join {table} a on a.{key} = r.key::{key_type})
      order by c.user_id for no key update;
    update {collections} c
       set {arn} = coalesce(o.arn, c.{arn}), engine = coalesce(c.engine, o.engine), engine_version = coalesce(c.engine_version, o.engine_version),
           last_indexed_at = now(), deleted = false
      from (select distinct on (a.{user_id}) a.{user_id} as user_id, r.arn, r.engine, r.engine_version
              from jsonb_to_recordset(p_opened) as r (key text, arn text, engine text, engine_version text)
              join {table} a on a.{key} = r.key::{key_type}
             order by a.{user_id}) o
     where c.user_id = o.user_id;
    select r.collection, a.{user_id} as user_id, c.engine, c.engine_version into v_mixed
      from jsonb_to_recordset(p_opened) as r (key text, collection text, engine text, engine_version text)
      join {table} a on a.{key} = r.key::{key_type}
      left join {collections} c on c.user_id = a.{user_id}
     where (r.engine, r.engine_version, r.collection) is distinct from (c.engine, c.engine_version, c.aws_collection_id)
     limit 1;
    if found and v_mixed.engine is null then
        raise exception 'the collection % is another user''s than %', v_mixed.collection, v_mixed.user_id;
    end if;
    if found then
        raise exception 'the collection of user % is one of % version %; engines never mix in a collection', v_mixed.user_id, v_mixed.engine, v_mixed.engine_version
            using hint = format('select backfill.face_index_reset(%L) begins it anew', v_mixed.user_id);
    end if;
end $$;
comment on function backfill.face_index_opened(jsonb) is 'Writes which collection the faces of pictures are in and what keeps it: an array of results with the picture''s key. Raises where a user''s is another one. Called by apply_face_index().';

create function backfill.face_index_found(p_found jsonb)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into backfill.face_asset (asset, user_id, collection, engine, engine_version, state, found, left_out, to_delete, done_at)
    select a.{key}, a.{user_id}, r.collection, r.engine, r.engine_version,
           case when r.done then 'done' else 'found' end, jsonb_array_length(r.faces), r.left_out,
           array(select d.id from jsonb_array_elements_text(r.to_delete) with ordinality as d (id, place) order by d.place),
           case when r.done then clock_timestamp() end
      from jsonb_to_recordset(p_found) as r (
           key text, collection text, engine text, engine_version text, done boolean, faces jsonb, left_out jsonb, to_delete jsonb)
      join {table} a on a.{key} = r.key::{key_type}
    on conflict (asset) do nothing;
    with added as (
        insert into {faces} as f (user_id, asset_id, rekognition_face_id, rekognition_image_id, bounding_box, confidence,
                                  needs_assignment, auto_assigned, skipped, deleted, {embedding})
        select a.{user_id}, a.{key}, o.face_id, o.image_id, o.box, round(o.confidence, 4), true, false, false, false, o.embedding
          from jsonb_to_recordset(p_found) as r (key text, faces jsonb)
          join {table} a on a.{key} = r.key::{key_type}
         cross join jsonb_to_recordset(r.faces) as o (face_id text, image_id text, box jsonb, confidence numeric, embedding real[])
         order by a.{user_id}, o.face_id
        on conflict (user_id, rekognition_face_id) do nothing
        returning f.user_id
    )
    update {collections} c set face_count = coalesce(c.face_count, 0) + n.faces
      from (select d.user_id, count(*) as faces from added d group by d.user_id) n
     where c.user_id = n.user_id;
    insert into backfill.face_state (face, asset)
    select f.id, a.{key}
      from jsonb_to_recordset(p_found) as r (key text, faces jsonb)
      join {table} a on a.{key} = r.key::{key_type}
     cross join jsonb_to_recordset(r.faces) as o (face_id text)
      join {faces} f on f.user_id = a.{user_id} and f.rekognition_face_id = o.face_id and f.asset_id = a.{key}
    on conflict (face) do nothing;
end $$;
comment on function backfill.face_index_found(jsonb) is 'Writes the faces that were found in pictures: an array of results with the picture''s key. Called by apply_face_index().';

create function backfill.face_index_compared(p_compared jsonb)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- The likeliest, and of each person the likeliest one: the collection of a family has thousands.
    insert into backfill.face_match (face, other, similarity)
    select m.face, m.other, m.similarity
      from (select f.id as face, o.other, o.similarity, w.person,
                   row_number() over (partition by f.id order by o.similarity desc, o.other) as place,
                   row_number() over (partition by f.id, w.person order by o.similarity desc, o.other) as place_of_person
              from jsonb_to_recordset(p_compared) as r (key text, matches jsonb)
             cross join jsonb_to_recordset(r.matches) as o (face text, other text, similarity real)
              join {faces} f on f.id = o.face::{face_type} and f.asset_id = r.key::{key_type}
              left join lateral backfill.face_people(f.user_id, o.other) as w (person) on true) m
     where m.place <= 50 or (m.person is not null and m.place_of_person = 1)
     order by m.face, m.other
    on conflict (face, other) do update set similarity = excluded.similarity;
    update backfill.face_state s set searched = true
      from jsonb_to_recordset(p_compared) as r (key text, searched jsonb)
     where s.asset = r.key::{key_type} and r.searched ? s.face::text;
    update backfill.face_asset s
       set to_delete = array(select d.id from unnest(s.to_delete) with ordinality as d (id, place) where not r.deleted ? d.id order by d.place)
      from jsonb_to_recordset(p_compared) as r (key text, deleted jsonb)
     where s.asset = r.key::{key_type} and jsonb_array_length(r.deleted) > 0;

    perform backfill.face_index_decide(r.key::{key_type}, r.decisions)
       from jsonb_to_recordset(p_compared) as r (key text, decisions jsonb)
      where r.decisions is not null
      order by r.key;
end $$;
comment on function backfill.face_index_compared(jsonb) is 'Writes what was found to be like the faces of pictures, and what was decided about them. Called by apply_face_index().';

create function backfill.face_index_decide(p_asset {key_type}, p_decisions jsonb)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- A link that somebody is adding refers to its face: it is waited for, and seen below.
    perform from {faces} f
      where f.id in (select d.face::{face_type} from jsonb_to_recordset(p_decisions) as d (face text))
      order by f.id for update;
    -- Nobody is linked who was taken out meanwhile, and no face that somebody has linked, skipped or
    -- taken out meanwhile, also where a link was taken back.
    with d as materialized (
        select f.id as face, f.user_id, d.decision, d.reason, d.similarity, p.id as person,
               exists (select from {links} l where l.face_id = f.id and l.deleted is not true) as linked
          from jsonb_to_recordset(p_decisions) as d (face text, decision text, reason text, person text, similarity numeric)
          join {faces} f on f.id = d.face::{face_type} and f.asset_id = p_asset
          left join {people} p on p.id::text = d.person and p.user_id = f.user_id and p.deleted is not true
               and f.deleted is not true and f.skipped is not true
               and not exists (select from {links} l where l.face_id = f.id and l.person_group_id = p.id)
    ), added as (
        insert into {links} (face_id, person_group_id, confidence, assigned_by, assigned_at, deleted)
        select d.face, d.person, round(d.similarity / 100, 4), 'system', now(), false
          from d where d.decision = 'assign' and d.person is not null and not d.linked
         order by d.face
        on conflict do nothing
        returning face_id
    ), flagged as (
        update {faces} f
           set needs_assignment = w.face_id is null and not d.linked, auto_assigned = w.face_id is not null
          from d left join added w on w.face_id = d.face
         where f.id = d.face
    )
    update backfill.face_state s
       set decision = case when d.decision = 'assign' and w.face_id is null then 'unknown' else d.decision end,
           reason = case when d.decision = 'assign' and w.face_id is null then 'was linked, skipped or taken out, or the person was, while it was compared' else d.reason end,
           decided_at = clock_timestamp()
      from d left join added w on w.face_id = d.face
     where s.face = d.face;
    update backfill.face_state s
       set decision = 'unknown', reason = 'was taken out before it was compared', decided_at = clock_timestamp()
      from {faces} f
     where s.asset = p_asset and s.decision is null and f.id = s.face and f.deleted;
    update backfill.face_asset s set state = 'done', done_at = clock_timestamp()
     where s.asset = p_asset and s.state = 'found' and s.to_delete = '{{}}'
       and not exists (select from backfill.face_state o where o.asset = p_asset and o.decision is null);
end $$;
comment on function backfill.face_index_decide({key_type}, jsonb) is 'Links the faces of a picture as was decided, and ends the picture when none is left. Called by apply_face_index().';
