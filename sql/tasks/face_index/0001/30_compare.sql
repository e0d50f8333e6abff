-- face_index: who is like whom

-- Written out term by term, and without a search path of its own, since a scan compares thousands of
-- pairs: twice as fast as over unnest().
create function backfill.face_distance(p_one real[], p_other real[])
returns double precision language sql immutable strict parallel safe
return sqrt({squares});
comment on function backfill.face_distance(real[], real[]) is 'Euclidean distance of two embeddings of a local engine.';

create function backfill.face_least_distance(p_one real[], p_other real[])
returns double precision language sql immutable strict parallel safe
return sqrt({first_squares});
comment on function backfill.face_least_distance(real[], real[]) is 'What the first half of their numbers says: two embeddings are no nearer than that. Rules out most pairs at half the cost.';

create function backfill.face_similarity(p_distance double precision)
returns double precision language sql immutable strict parallel safe
return 100 / (1 + exp({slope} * (p_distance - {midpoint})));
comment on function backfill.face_similarity(double precision) is
    'Similarity in percent of two faces whose embeddings are so far apart: 95 at .42, 80 at .55.';

-- Without a search path of its own, so that it becomes a part of the query that asks for thousands.
create function backfill.face_people(p_user {user_type}, p_face_id text)
returns setof {person_type} language sql stable
begin atomic
    select p.id
      from {faces} f
      join {links} l on l.face_id = f.id and l.deleted is not true
      join {people} p on p.id = l.person_group_id and p.deleted is not true
     where f.user_id = p_user and f.rekognition_face_id = p_face_id and f.deleted is not true
     order by l.assigned_at desc nulls last, p.id
     limit 1;
end;
comment on function backfill.face_people({user_type}, text) is 'Whom a known face shows, if it was said; where several were, the last.';

create function backfill.face_alike(p_face {face_type})
returns table (other text, similarity real) language sql stable set search_path = pg_catalog, pg_temp as $$
    select a.other, max(a.similarity)
      from (select m.other, m.similarity from backfill.face_match m where m.face = p_face
            union all
            select o.rekognition_face_id, m.similarity
              from {faces} f
              join backfill.face_match m on m.other = f.rekognition_face_id
              join {faces} o on o.id = m.face and o.user_id = f.user_id
             where f.id = p_face) a
     group by a.other
$$;
comment on function backfill.face_alike({face_type}) is
    'Faces that a face was found to be like, and those that were found later and are like it, by their ids in the collection.';

create function backfill.face_matches(p_face {face_type})
returns jsonb language sql stable set search_path = pg_catalog, pg_temp as $$
    select jsonb_agg(jsonb_build_object('face_id', m.other, 'similarity', m.similarity, 'person', w.person::text) order by m.similarity desc, m.other)
      from {faces} f
     cross join lateral backfill.face_alike(f.id) m
      left join {faces} o on o.user_id = f.user_id and o.rekognition_face_id = m.other
      left join lateral backfill.face_people(f.user_id, m.other) as w (person) on true
     where f.id = p_face and o.asset_id is distinct from f.asset_id and o.deleted is not true
$$;
comment on function backfill.face_matches({face_type}) is 'Faces of other pictures that were found to be like a face, and whom they show: an array of face_id, similarity, person.';

create function backfill.face_matches_here(p_face {face_type})
returns jsonb language sql stable set search_path = pg_catalog, pg_temp as $$
    select jsonb_agg(jsonb_build_object('face_id', n.face_id, 'similarity', n.similarity, 'person', w.person::text) order by n.similarity desc, n.face_id)
      from (select f.user_id, o.rekognition_face_id as face_id, s.similarity::real as similarity
              from {faces} f
              join {faces} o on o.user_id = f.user_id and o.asset_id <> f.asset_id and o.deleted is not true and o.{embedding} is not null
             cross join lateral (select backfill.face_similarity(backfill.face_least_distance(f.{embedding}, o.{embedding})) as most,
                                        backfill.face_similarity(backfill.face_distance(f.{embedding}, o.{embedding})) as similarity) s
             where f.id = p_face and s.most >= 80 and s.similarity >= 80
             order by s.similarity desc, o.rekognition_face_id
             limit 1000) n
      left join lateral backfill.face_people(n.user_id, n.face_id) as w (person) on true
$$;
comment on function backfill.face_matches_here({face_type}) is
    'The same of a face that a local engine found, by an exact scan of the user''s faces.';
