-- quality_score: columns on the application's table, in one short transaction
--
-- Adding nullable columns and an unvalidated check takes the table's lock for an instant and reads
-- no row. What was there already is left alone; what is added here is noted in backfill.task, so
-- that the downgrade removes that and nothing else.

select backfill.register_task(
    'quality_score', {version}, 'Scores each image from 0 to 100 by subject size and position, resolution, contrast and whether there is one clear subject.',
    10, 2000, {binding}::jsonb);

do $$
declare
    v_table regclass := {table_name}::regclass;
    v_added text[] := '{{}}';
begin
    if not exists (select from pg_attribute where attrelid = v_table and attname = 'quality_score' and not attisdropped) then
        alter table {table} add column quality_score integer;
        comment on column {table}.quality_score is 'Quality of the image, 0..100; null: not scored (pgbackfill).';
        v_added := v_added || 'column quality_score'::text;
    end if;
    if not exists (select from pg_attribute where attrelid = v_table and attname = 'quality_details' and not attisdropped) then
        alter table {table} add column quality_details jsonb;
        comment on column {table}.quality_details is 'How quality_score came about: its five parts, the subject''s box and where it came from, versions (pgbackfill).';
        v_added := v_added || 'column quality_details'::text;
    end if;
    if 'column quality_score' = any (v_added)
       or not exists (select from pg_constraint where conrelid = v_table and contype = 'c' and pg_get_constraintdef(oid) like '%quality_score%') then
        alter table {table} add constraint {check_name} check (quality_score is null or (quality_score >= 0 and quality_score <= 100)) not valid;
        v_added := v_added || ('constraint ' || {check_literal});
    end if;
    update backfill.task set added = added || v_added where name = 'quality_score';
end $$;
