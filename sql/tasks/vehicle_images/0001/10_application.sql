-- vehicle_images: the application's table of pictures
--
-- A table that is there already is kept: columns that it lacks are added, nothing of its own is
-- changed. What is added is noted in backfill.task, so that the downgrade removes that and nothing
-- else.

select backfill.register_task(
    'vehicle_images', {version}, 'Downloads the pictures that vehicles name by URL into storage, a few at a time.',
    10, 2000, {binding}::jsonb);
-- So that what is wrong here for a minute, such as the name service, is not held against the URLs. Not
-- where the task was installed before: these are the DBA's.
update backfill.task set backoff_base = '30 seconds', backoff_max = '1 hour'
 where name = 'vehicle_images' and created_at = now();

do $$
declare
    v_added text[] := '{{}}';
    v_column record;
begin
    if to_regclass({images_name}) is null then
        create table {images} (
            id uuid constraint {images_pkey} primary key default gen_random_uuid(),
            {vehicle_id} {key_type} not null references {table} ({key}) on delete cascade,
            created_at timestamptz not null default now()
        );
        comment on table {images} is 'Pictures of vehicles (pgbackfill).';
        comment on column {images}.id is 'The picture (pgbackfill).';
        comment on column {images}.{vehicle_id} is 'The vehicle that it shows (pgbackfill).';
        comment on column {images}.created_at is 'When it was added (pgbackfill).';
        v_added := v_added || ('table ' || {images_name});
    end if;
    for v_column in
        select * from (values
            (1, 'image_url', 'text', 'Where the application finds the picture: its public address, or its path in the storage.'),
            (2, 'storage_path', 'text', 'Its path in the storage.'),
            (3, 'file_hash', 'text', 'SHA-256 of the file, 64 hex digits.'),
            (4, 'file_size', 'bigint', 'Size of the file, bytes.'),
            (5, 'mime_type', 'text', 'Its type, by its content.'),
            (6, 'filename', 'text', 'The name that the file has at its source.'),
            (7, 'source', 'text', 'How it came here.'),
            (8, 'source_url', 'text', 'The URL that the vehicle names.'),
            (9, 'position', 'integer', 'Place among the vehicle''s URLs, from 0.'),
            (10, 'is_primary', 'boolean not null default false', 'Whether it is the vehicle''s first picture.'),
            (11, 'taken_at', 'timestamptz', 'When it was taken, by its EXIF; taken for UTC where it names no zone.'),
            (12, 'exif_data', 'jsonb', 'What its EXIF says of camera, program and time.')
            ) as c (place, name, type, said)
         where not exists (select from pg_attribute a where a.attrelid = {images_name}::regclass and a.attname = c.name and not a.attisdropped)
         order by c.place
    loop
        execute format('alter table %s add column %I %s', {images_name}::regclass, v_column.name, v_column.type);
        execute format('comment on column %s.%I is %L', {images_name}::regclass, v_column.name, v_column.said || ' (pgbackfill)');
        v_added := v_added || format('column %s of %s', v_column.name, {images_name});
    end loop;
    update backfill.task set added = added || v_added where name = 'vehicle_images';
end $$;

-- Where rows could not be written, no vehicle would ever be done. A trigger may fill what is missing.
do $$
declare
    v_columns text;
begin
    select string_agg(quote_ident(a.attname), ', ' order by a.attnum) into v_columns
      from pg_attribute a
      join pg_type t on t.oid = a.atttypid
     where a.attrelid = {images_name}::regclass and a.attnum > 0 and not a.attisdropped
       and a.attnotnull and not a.atthasdef and a.attidentity = '' and t.typdefault is null
       and a.attname <> all (array[{vehicle_id_literal}, 'image_url', 'storage_path', 'file_hash', 'file_size', 'mime_type',
                                   'source', 'source_url', 'position', 'is_primary'])
       and not exists (select from pg_trigger g
                        where g.tgrelid = a.attrelid and not g.tgisinternal and g.tgtype & 7 = 7);  -- before insert, for each row
    if v_columns is not null then
        raise exception 'pictures can''t be added to %: % may not be null and may be left without a value', {images_name}, v_columns
            using hint = 'give it a default or let it be null, then migrate again';
    end if;
end $$;

-- The unique index below could not be built, and would say less about why.
do $$
declare
    v_twice bigint;
begin
    select count(*) into v_twice
      from (select from {images} where file_hash is not null group by {vehicle_id}, file_hash having count(*) > 1) d;
    if v_twice > 0 then
        raise exception '% pictures are in % twice for one vehicle', v_twice, {images_name}
            using hint = 'keep one row a vehicle and file_hash, then migrate again';
    end if;
end $$;
