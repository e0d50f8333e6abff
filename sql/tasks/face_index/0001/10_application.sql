-- face_index: the application's tables of collections, faces, people, and who is on which face
--
-- Tables that are there already are kept: columns that they lack are added, nothing of theirs is
-- changed. What is added is noted in backfill.task, so that the downgrade removes that and nothing
-- else.

select backfill.register_task(
    'face_index', {version}, 'Finds the faces in users'' pictures, and whom they show.', 10, 1000, {binding}::jsonb);

-- What Rekognition gives an account without asking. Not where somebody has set it already.
insert into backfill.rate_limit (name, per_second, floor) values ('rekognition', 5, 0.5) on conflict do nothing;

do $$
declare
    v_added text[] := '{{}}';
    v_column record;
begin
    if to_regclass({collections_name}) is null then
        create table {collections} (
            id uuid constraint {collections_pkey} primary key default gen_random_uuid(),
            user_id {user_type} not null
        );
        comment on table {collections} is 'Each user''s collection of faces (pgbackfill).';
        v_added := v_added || ('table ' || {collections_name});
    end if;
    if to_regclass({faces_name}) is null then
        create table {faces} (
            id uuid constraint {faces_pkey} primary key default gen_random_uuid(),
            user_id {user_type} not null,
            asset_id {key_type} not null references {table} ({key}) on delete cascade
        );
        comment on table {faces} is 'Faces in users'' pictures (pgbackfill).';
        v_added := v_added || ('table ' || {faces_name});
    end if;
    if to_regclass({people_name}) is null then
        create table {people} (
            id uuid constraint {people_pkey} primary key default gen_random_uuid(),
            user_id {user_type} not null
        );
        comment on table {people} is 'People whom users know by name (pgbackfill).';
        v_added := v_added || ('table ' || {people_name});
    end if;
    if to_regclass({links_name}) is null then
        create table {links} (
            id uuid constraint {links_pkey} primary key default gen_random_uuid(),
            face_id {face_type} not null references {faces} (id) on delete cascade,
            person_group_id {person_type} not null references {people} (id) on delete cascade
        );
        comment on table {links} is 'Whom a face shows (pgbackfill).';
        v_added := v_added || ('table ' || {links_name});
    end if;
    for v_column in
        select c.*, c.of::regclass as owner from (values
            (1, {collections_name}, 'aws_collection_id', 'text', 'Its name, with Rekognition where that keeps it.'),
            (2, {collections_name}, {arn_literal}, 'text', 'Its ARN; null: it is kept here.'),
            (3, {collections_name}, 'face_count', 'integer not null default 0', 'Faces in it.'),
            (4, {collections_name}, 'last_indexed_at', 'timestamptz', 'When faces of a picture were looked for last.'),
            (5, {collections_name}, 'deleted', 'boolean not null default false', 'Whether it is gone.'),
            (6, {collections_name}, 'created_at', 'timestamptz not null default now()', 'When it was made.'),
            (7, {collections_name}, 'engine', 'text', 'What finds and compares its faces: rekognition, or a local one. Engines never mix in a collection.'),
            (8, {collections_name}, 'engine_version', 'text', 'Version of the engine''s model, which does not change within a collection.'),
            (11, {faces_name}, 'rekognition_face_id', 'text', 'Its id in the collection, with Rekognition where that keeps it.'),
            (12, {faces_name}, 'rekognition_image_id', 'text', 'The id that Rekognition gave the picture.'),
            (13, {faces_name}, 'bounding_box', 'jsonb', 'Left, Top, Width, Height as shares of the upright picture.'),
            (14, {faces_name}, 'confidence', 'numeric(5,4)', 'How sure it is that this is a face, 0 to 1.'),
            (15, {faces_name}, 'needs_assignment', 'boolean not null default true', 'Whether somebody has to say whom it shows.'),
            (16, {faces_name}, 'auto_assigned', 'boolean not null default false', 'Whether it was linked by its likeness, and not by a person.'),
            (17, {faces_name}, 'skipped', 'boolean not null default false', 'Whether the user does not want to say whom it shows.'),
            (18, {faces_name}, 'deleted', 'boolean not null default false', 'Whether the user took it out.'),
            (19, {faces_name}, 'created_at', 'timestamptz not null default now()', 'When it was found.'),
            (20, {faces_name}, {embedding_literal}, 'real[]', 'What a local engine describes the face by, 128 numbers.'),
            (31, {people_name}, 'name', 'text', 'Their name.'),
            (32, {people_name}, 'display_name', 'text', 'The name to show.'),
            (33, {people_name}, 'deleted', 'boolean not null default false', 'Whether the user took them out.'),
            (34, {people_name}, 'created_at', 'timestamptz not null default now()', 'When they were added.'),
            (41, {links_name}, 'confidence', 'numeric(5,4)', 'How alike the face is to the nearest one of that person, 0 to 1.'),
            (42, {links_name}, 'assigned_by', 'text', 'user or system.'),
            (43, {links_name}, 'assigned_at', 'timestamptz not null default now()', 'When it was linked.'),
            (44, {links_name}, 'deleted', 'boolean not null default false', 'Whether the link was taken back.')
            ) as c (place, of, name, type, said)
         where not exists (select from pg_attribute a where a.attrelid = c.of::regclass and a.attname = c.name and not a.attisdropped)
         order by c.place
    loop
        execute format('alter table %s add column %I %s', v_column.owner, v_column.name, v_column.type);
        execute format('comment on column %s.%I is %L', v_column.owner, v_column.name, v_column.said || ' (pgbackfill)');
        v_added := v_added || format('column %s of %s', v_column.name, v_column.of);
    end loop;
    -- not where a table has rows already
    for v_column in
        select c.* from (values
            ({collections_name}, 'aws_collection_id'), ({faces_name}, 'rekognition_face_id'), ({people_name}, 'name')) as c (of, name)
         where ('table ' || c.of) = any (v_added)
    loop
        execute format('alter table %s alter column %I set not null', v_column.of, v_column.name);
    end loop;
    update backfill.task set added = added || v_added where name = 'face_index';
end $$;

-- Whom row-level security hides rows from would find nothing to do, and say so.
do $$
declare
    v_hidden text;
begin
    select string_agg(c.name, ', ') into v_hidden
      from unnest(array[{table_name}, {collections_name}, {faces_name}, {people_name}, {links_name}]) as c (name)
     where row_security_active(c.name::regclass);
    if v_hidden is not null then
        raise exception 'row-level security holds for % in %', current_user, v_hidden
            using hint = 'migrate as the owner of these tables, or as a role that may bypass it';
    end if;
end $$;

-- Where rows could not be written, no picture would ever be done. A trigger may fill what is missing.
do $$
declare
    v_lacks record;
begin
    select c.name, string_agg(quote_ident(a.attname), ', ' order by a.attnum) as columns into v_lacks
      from (values ({collections_name}, array['user_id', 'aws_collection_id', {arn_literal}, 'face_count', 'last_indexed_at', 'deleted', 'engine', 'engine_version']),
                   ({faces_name}, array['user_id', 'asset_id', 'rekognition_face_id', 'rekognition_image_id', 'bounding_box', 'confidence',
                                        'needs_assignment', 'auto_assigned', 'skipped', 'deleted']),
                   ({links_name}, array['face_id', 'person_group_id', 'confidence', 'assigned_by', 'assigned_at', 'deleted'])) as c (name, written)
      join pg_attribute a on a.attrelid = c.name::regclass
      join pg_type t on t.oid = a.atttypid
     where a.attnum > 0 and not a.attisdropped
       and a.attnotnull and not a.atthasdef and a.attidentity = '' and t.typdefault is null
       and a.attname <> all (c.written)
       and not exists (select from pg_trigger g
                        where g.tgrelid = a.attrelid and not g.tgisinternal and g.tgtype & 7 = 7)  -- before insert, for each row
     group by c.name limit 1;
    if v_lacks.name is not null then
        raise exception 'rows can''t be added to %: % may not be null and may be left without a value', v_lacks.name, v_lacks.columns
            using hint = 'give it a default or let it be null, then migrate again';
    end if;
end $$;

-- The unique indexes below could not be built, and would say less about why.
do $$
declare
    v_twice bigint;
begin
    select count(*) into v_twice from (select from {collections} group by user_id having count(*) > 1) d;
    if v_twice > 0 then
        raise exception '% users have several collections in %', v_twice, {collections_name}
            using hint = 'keep one row a user_id, then migrate again';
    end if;
    select count(*) into v_twice from (select from {collections} where aws_collection_id is not null group by aws_collection_id having count(*) > 1) d;
    if v_twice > 0 then
        raise exception '% collections are those of several users in %', v_twice, {collections_name}
            using hint = 'keep one row an aws_collection_id, then migrate again';
    end if;
    select count(*) into v_twice from (select from {faces} where rekognition_face_id is not null group by user_id, rekognition_face_id having count(*) > 1) d;
    if v_twice > 0 then
        raise exception '% faces are in % twice', v_twice, {faces_name}
            using hint = 'keep one row a user_id and rekognition_face_id, then migrate again';
    end if;
    select count(*) into v_twice from (select from {links} where deleted is not true group by face_id, person_group_id having count(*) > 1) d;
    if v_twice > 0 then
        raise exception '% pairs of a face and a person are in % twice', v_twice, {links_name}
            using hint = 'keep one row a face_id and person_group_id that is not deleted, then migrate again';
    end if;
end $$;
