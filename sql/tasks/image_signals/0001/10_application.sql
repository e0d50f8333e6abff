-- image_signals: the application's tables
--
-- Tables that are there already are kept: columns that they lack are added, nothing of theirs is
-- changed. What is added is noted in backfill.task, so that the downgrade removes that and nothing
-- else.

select backfill.register_task(
    'image_signals', {version}, 'Finds reused payment screenshots across the whole history, and what else a picture tells.',
    5, 1000, {binding}::jsonb);

do $$
declare
    v_added text[] := '{{}}';
    v_column record;
begin
    if to_regclass({signals_name}) is null then
        create table {signals} (
            id uuid constraint {signals_pkey} primary key default gen_random_uuid(),
            payment_submission_id {key_type} not null references {table} ({key}) on delete cascade
        );
        comment on table {signals} is 'What the screenshot of a payment tells, one row a payment (pgbackfill).';
        v_added := v_added || ('table ' || {signals_name});
    end if;
    for v_column in
        select * from (values
            (1, 'image_url', 'text', 'Address of the screenshot that was analysed.'),
            (2, 'perceptual_hash', 'text', '64-bit perceptual hash of the whole picture, 16 hex digits; null: there is nothing to see in it.'),
            (3, 'duplicate_detected', 'boolean not null default false', 'Whether an earlier payment has the same screenshot.'),
            (4, 'similar_to_payment_id', {key_type_name}, 'The earliest payment whose screenshot is the same, or so alike that a person should look.'),
            (5, 'similarity_percentage', 'numeric(5,2)', 'How much of what both screenshots show is the same, 0..100.'),
            (6, 'similarity_explanation', 'text', 'How that was found, in sentences.'),
            (7, 'exif_available', 'boolean', 'Whether the file has EXIF data.'),
            (8, 'exif_creation_date', 'timestamptz', 'When the picture was taken, by its EXIF; taken for UTC where it names no zone.'),
            (9, 'exif_source_type', 'text', 'screenshot, camera, edited or unknown.'),
            (10, 'exif_metadata_stripped', 'boolean', 'Whether metadata that such a file usually has are missing.'),
            (11, 'exif_editor_detected', 'text', 'Name of the editing program that its metadata mention.'),
            (12, 'metadata_notes', 'text', 'What the metadata tell, in sentences.'),
            (13, 'looks_like_screenshot', 'boolean', 'Whether its form is that of a phone''s screenshot.'),
            (14, 'aspect_ratio', 'text', 'Class of height to width.'),
            (15, 'resolution_width', 'integer', 'Width, pixels.'),
            (16, 'resolution_height', 'integer', 'Height, pixels.'),
            (17, 'text_density_score', 'integer', 'How much of it looks like text, 0..100.'),
            (18, 'screenshot_validity_explanation', 'text', 'What speaks for and against a screenshot, in sentences.'),
            (19, 'analysis_status', 'text', 'pending, processing, completed, failed or skipped.'),
            (20, 'analysis_error', 'text', 'Why the analysis failed.'),
            (21, 'analyzed_at', 'timestamptz', 'When it was analysed last.')
            ) as c (place, name, type, said)
         where not exists (select from pg_attribute a where a.attrelid = {signals_name}::regclass and a.attname = c.name and not a.attisdropped)
         order by c.place
    loop
        execute format('alter table %s add column %I %s', {signals_name}::regclass, v_column.name, v_column.type);
        execute format('comment on column %s.%I is %L', {signals_name}::regclass, v_column.name, v_column.said || ' (pgbackfill)');
        v_added := v_added || format('column %s of %s', v_column.name, {signals_name});
    end loop;

    if to_regclass({hashes_name}) is null then
        create table {hashes} (
            hash             text not null,
            algorithm        text not null,
            first_payment_id {key_type},
            first_uploaded_at timestamptz,
            upload_count     integer not null default 0,
            last_updated_at  timestamptz not null default now()
        );
        comment on table {hashes} is 'Perceptual hashes of payment screenshots and how many payments have each (pgbackfill).';
        comment on column {hashes}.hash is 'The hash, 16 hex digits.';
        comment on column {hashes}.algorithm is 'Which hash, with its version.';
        comment on column {hashes}.first_payment_id is 'The earliest payment that has it.';
        comment on column {hashes}.first_uploaded_at is 'When that payment was submitted.';
        comment on column {hashes}.upload_count is 'Payments that have it.';
        comment on column {hashes}.last_updated_at is 'When this row changed last.';
        v_added := v_added || ('table ' || {hashes_name});
    end if;
    update backfill.task set added = added || v_added where name = 'image_signals';
end $$;

-- Two rows for one payment would be two answers to one question.
do $$
declare
    v_twice bigint;
begin
    select count(*) into v_twice from (select payment_submission_id from {signals} group by 1 having count(*) > 1) d;
    if v_twice > 0 then
        raise exception '% payments have several rows in %', v_twice, {signals_name}
            using hint = 'keep one row a payment_submission_id, then migrate again';
    end if;
    select count(*) into v_twice from (select hash, algorithm from {hashes} group by 1, 2 having count(*) > 1) d;
    if v_twice > 0 then
        raise exception '% hashes have several rows in %', v_twice, {hashes_name}
            using hint = 'keep one row a hash and algorithm, then migrate again';
    end if;
end $$;
