-- image_signals: the binding to the application's tables. All of it is the DBA's to replace, as long
-- as the columns of the view and the meaning of the functions stay.

create view backfill.needs_image_signals as
select n.key, n.native_key, n.revision, n.url, n.label, n.submitted_at, n.generation,
       case when n.analysed then null else 'analyse' end as step,
       -- made when the row is claimed, not when rows are counted
       case when n.analysed then backfill.image_comparison(n.generation, n.sha256) end as comparison
  from (select p.{key}::text as key, p.{key} as native_key, md5(p.{url}) as revision, p.{url} as url, {label}::text as label,
               p.{created_at} as submitted_at, t.version as generation, s.sha256, s.settled_at,
               s.seen_at is distinct from backfill.image_time(p.{created_at}) as moved,
               -- also where somebody deleted the row of signals
               coalesce(s.revision = md5(p.{url}) and s.generation = t.version, false)
                   and exists (select from {signals} g where g.payment_submission_id = p.{key}) as analysed
          from {table} p
         cross join (select version from backfill.task where name = 'image_signals') t
          left join backfill.image_subject s on s.key = p.{key}::text
         where btrim(p.{url}) <> '') n
 where not n.analysed or n.settled_at is null or n.moved;
comment on view backfill.needs_image_signals is 'Payments with a screenshot that is not analysed yet, was analysed by a lower version or from another address, or is still to be compared; and those whose time was changed.';
comment on column backfill.needs_image_signals.key is 'The payment''s key, as text.';
comment on column backfill.needs_image_signals.native_key is 'The payment''s key, to scan by.';
comment on column backfill.needs_image_signals.revision is 'Changes when the screenshot''s address changes.';
comment on column backfill.needs_image_signals.url is 'Address of the screenshot.';
comment on column backfill.needs_image_signals.label is 'What people call the payment, such as its flat.';
comment on column backfill.needs_image_signals.submitted_at is 'When the payment was submitted.';
comment on column backfill.needs_image_signals.generation is 'Version of the algorithm to analyse it by.';
comment on column backfill.needs_image_signals.step is 'analyse, or null where it is analysed and comparison says what is next.';
comment on column backfill.needs_image_signals.comparison is 'What comparing it needs.';

create function backfill.image_signals_analysed(p_results jsonb)
returns void language plpgsql set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
declare
    v_keys text[];
    v_seen timestamptz[];
    v_pictures jsonb;
    v_gone text[];
    v_gone_algorithm text[];
begin
    -- a payment that was deleted meanwhile, or is being deleted, is passed over
    select array_agg(r.key order by r.key), array_agg(backfill.image_time(p.{created_at}) order by r.key)
      into v_keys, v_seen
      from jsonb_to_recordset(p_results) as r (key text, result jsonb)
      join (select q.{key}, q.{created_at} from {table} q
             where q.{key} in (select (x ->> 'key')::{key_type} from jsonb_array_elements(p_results) x)
             order by q.{key} for key share skip locked) p on p.{key} = r.key::{key_type}
     where r.result ->> 'step' = 'analysis';
    if v_keys is null then
        return;
    end if;

    with added as (
        insert into backfill.image_picture (generation, sha256, width, height, hashes, coarse, thumbnail)
        select distinct on (x.generation, sha256) x.generation, decode(x.sha256, 'hex') as sha256, y.width, y.height, y.hashes,
               decode(y.coarse, 'base64'), decode(y.thumbnail, 'base64')
          from jsonb_to_recordset(p_results) as r (key text, result jsonb)
         cross join lateral jsonb_to_record(r.result) as x (generation integer, sha256 text, picture jsonb)
         cross join lateral jsonb_to_record(x.picture) as y (width integer, height integer, hashes bigint[], coarse text, thumbnail text)
         where r.key = any (v_keys)
         order by x.generation, sha256, r.key
        on conflict do nothing
        returning generation, sha256, hashes
    )
    select jsonb_agg(jsonb_build_object('generation', a.generation, 'key', encode(a.sha256, 'hex'), 'hashes', a.hashes)) into v_pictures from added a;
    perform backfill.image_hash_add_batch(g.generation, g.pictures)
       from (select (x ->> 'generation')::integer as generation, jsonb_agg(x) as pictures from jsonb_array_elements(v_pictures) x group by 1) g;

    -- what these payments had before, if it was another hash
    select array_agg(s.hash), array_agg(s.algorithm) into v_gone, v_gone_algorithm
      from jsonb_to_recordset(p_results) as r (key text, result jsonb)
      join backfill.image_subject s on s.key = r.key
     where r.key = any (v_keys) and s.hash is not null
       and (s.hash, s.algorithm) is distinct from (r.result ->> 'hash', r.result ->> 'algorithm');

    with before as (
        select s.key, s.hash, s.algorithm from backfill.image_subject s where s.key = any (v_keys)
    ), written as (
        insert into backfill.image_subject as s (key, native_key, generation, revision, seen_at, sha256, hash, algorithm)
        select r.key, r.key::{key_type}, x.generation, r.revision, k.seen_at, decode(x.sha256, 'hex'), x.hash, x.algorithm
          from jsonb_to_recordset(p_results) as r (key text, revision text, result jsonb)
         cross join lateral jsonb_to_record(r.result) as x (generation integer, sha256 text, hash text, algorithm text)
          join unnest(v_keys, v_seen) as k (key, seen_at) on k.key = r.key
         where x.sha256 is not null
        on conflict (key) do update
           set generation = excluded.generation, revision = excluded.revision, seen_at = excluded.seen_at,
               sha256 = excluded.sha256, hash = excluded.hash, algorithm = excluded.algorithm, settled_at = null
        returning s.key, s.native_key, s.seen_at, s.hash, s.algorithm
    )
    insert into {hashes} as h (hash, algorithm, first_payment_id, first_uploaded_at, upload_count, last_updated_at)
    select w.hash, w.algorithm, (array_agg(w.native_key order by w.seen_at, w.native_key))[1], nullif(min(w.seen_at), 'infinity'), count(*), clock_timestamp()
      from written w left join before b using (key)
     where w.hash is not null and (b.key is null or (b.hash, b.algorithm) is distinct from (w.hash, w.algorithm))
     group by w.hash, w.algorithm order by w.hash, w.algorithm
    on conflict (hash, algorithm) do update
       set upload_count = h.upload_count + excluded.upload_count,
           first_payment_id = case when (coalesce(h.first_uploaded_at, 'infinity'), h.first_payment_id)
                                     < (coalesce(excluded.first_uploaded_at, 'infinity'), excluded.first_payment_id)
                                   then h.first_payment_id else excluded.first_payment_id end,
           -- least() passes over nulls, which are the times that nobody knows
           first_uploaded_at = least(h.first_uploaded_at, excluded.first_uploaded_at),
           last_updated_at = excluded.last_updated_at;

    perform backfill.image_signals_recount(v_gone, v_gone_algorithm);

    insert into {signals} as g (
        payment_submission_id, image_url, perceptual_hash, duplicate_detected, exif_available, exif_creation_date, exif_source_type, exif_metadata_stripped,
        exif_editor_detected, metadata_notes, looks_like_screenshot, aspect_ratio, resolution_width, resolution_height, text_density_score,
        screenshot_validity_explanation, analysis_status, analysis_error, analyzed_at)
    select r.key::{key_type}, x.url, x.hash, false, y.exif_available, y.exif_creation_date, y.exif_source_type, y.exif_metadata_stripped,
           y.exif_editor_detected, y.metadata_notes, y.looks_like_screenshot, y.aspect_ratio, y.resolution_width, y.resolution_height, y.text_density_score,
           y.screenshot_validity_explanation, 'processing', null, clock_timestamp()
      from jsonb_to_recordset(p_results) as r (key text, result jsonb)
     cross join lateral jsonb_to_record(r.result) as x (url text, hash text, signals jsonb)
     cross join lateral jsonb_to_record(x.signals) as y (
           exif_available boolean, exif_creation_date timestamptz, exif_source_type text, exif_metadata_stripped boolean,
           exif_editor_detected text, metadata_notes text, looks_like_screenshot boolean, aspect_ratio text, resolution_width integer,
           resolution_height integer, text_density_score integer, screenshot_validity_explanation text)
     where r.key = any (v_keys)
     order by r.key
    on conflict (payment_submission_id) do update
       set image_url = excluded.image_url, perceptual_hash = excluded.perceptual_hash, exif_available = excluded.exif_available,
           exif_creation_date = excluded.exif_creation_date, exif_source_type = excluded.exif_source_type,
           exif_metadata_stripped = excluded.exif_metadata_stripped, exif_editor_detected = excluded.exif_editor_detected,
           metadata_notes = excluded.metadata_notes, looks_like_screenshot = excluded.looks_like_screenshot, aspect_ratio = excluded.aspect_ratio,
           resolution_width = excluded.resolution_width, resolution_height = excluded.resolution_height,
           text_density_score = excluded.text_density_score, screenshot_validity_explanation = excluded.screenshot_validity_explanation,
           analysis_status = excluded.analysis_status, analysis_error = null, analyzed_at = excluded.analyzed_at;
end $$;
comment on function backfill.image_signals_analysed(jsonb) is 'Stores what the first step found: pictures, hashes, the application''s hash index, signals. To be called in one''s turn.';

create function backfill.apply_image_signals(results jsonb)
returns void language plpgsql set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
declare
    v_compared text[];
begin
    perform backfill.image_signals_turn();
    perform backfill.image_signals_analysed(results);

    update backfill.image_picture p
       set shortlist = array(select decode(l.sha256, 'hex') from jsonb_array_elements_text(x.shortlist) as l (sha256)),
           ranked = x.last, ranked_bits = x.ranked_bits, ranked_sha256 = decode(x.ranked_sha256, 'hex'),
           candidates = x.candidate_count, crowded = x.crowded
      from jsonb_to_recordset(results) as r (key text, result jsonb)
     cross join lateral jsonb_to_record(r.result) as x (
           step text, generation integer, sha256 text, shortlist jsonb, last boolean, ranked_bits smallint, ranked_sha256 text, candidate_count integer, crowded boolean)
     where x.step = 'shortlist' and p.generation = x.generation and p.sha256 = decode(x.sha256, 'hex') and p.compared_at is null;

    insert into backfill.image_pair as a (generation, one, other, verdict, percentage, bits, found)
    select distinct on (x.generation, least(m.sha256, t.sha256), greatest(m.sha256, t.sha256))
           x.generation, least(m.sha256, t.sha256), greatest(m.sha256, t.sha256), f.verdict, f.percentage, f.bits,
           case when t.sha256 < m.sha256 then jsonb_build_object('one_first', f.their_first, 'other_first', f.my_first)
                else jsonb_build_object('one_first', f.my_first, 'other_first', f.their_first) end
      from jsonb_to_recordset(results) as r (key text, result jsonb)
     cross join lateral jsonb_to_record(r.result) as x (step text, generation integer, sha256 text, pairs jsonb)
     cross join lateral jsonb_to_recordset(x.pairs) as f (sha256 text, verdict text, percentage numeric, bits smallint, their_first jsonb, my_first jsonb)
     cross join lateral (select decode(x.sha256, 'hex') as sha256) m
     cross join lateral (select decode(f.sha256, 'hex') as sha256) t
     where x.step = 'comparison'
     order by x.generation, least(m.sha256, t.sha256), greatest(m.sha256, t.sha256), r.key
    on conflict (one, other, generation) do update
       set verdict = excluded.verdict, percentage = excluded.percentage, bits = excluded.bits, found = excluded.found, compared_at = clock_timestamp();

    update backfill.image_picture p
       set compared_at = clock_timestamp(), shortlist = null,
           candidates = coalesce(p.candidates, x.candidate_count), crowded = coalesce(p.crowded, x.crowded)
      from jsonb_to_recordset(results) as r (key text, result jsonb)
     cross join lateral jsonb_to_record(r.result) as x (step text, generation integer, sha256 text, candidate_count integer, crowded boolean)
     where x.step = 'comparison' and p.generation = x.generation and p.sha256 = decode(x.sha256, 'hex') and p.compared_at is null;

    select array_agg(r.key order by r.key) into v_compared
      from jsonb_to_recordset(results) as r (key text, result jsonb) where r.result ->> 'step' = 'comparison';
    if v_compared is not null then
        update backfill.image_subject s set settled_at = clock_timestamp(), seen_at = backfill.image_time(p.{created_at})
          from {table} p where p.{key} = s.native_key and s.key = any (v_compared);
        perform backfill.image_signals_settle(backfill.image_signals_affected(v_compared));
        update {signals} g set analysis_status = 'completed', analyzed_at = clock_timestamp()
          from unnest(v_compared) as c (key) where g.payment_submission_id = c.key::{key_type};
    end if;
end $$;
comment on function backfill.apply_image_signals(jsonb) is 'Stores what a step found: an analysis, a shortlist or a comparison with its pairs and all that follows from them.';

create function backfill.fail_image_signals(failed jsonb)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    insert into {signals} as g (payment_submission_id, image_url, duplicate_detected, analysis_status, analysis_error, analyzed_at)
    select p.{key}, coalesce(p.{url}, ''), false, 'failed', f.error_class || ': ' || f.error_message, clock_timestamp()
      from jsonb_to_recordset(failed) as f (key text, error_class text, error_message text)
      join {table} p on p.{key} = f.key::{key_type}
     order by f.key
    on conflict (payment_submission_id) do update
       set image_url = excluded.image_url, analysis_status = excluded.analysis_status, analysis_error = excluded.analysis_error, analyzed_at = excluded.analyzed_at;
    -- what was found of another screenshot is not said of this one
    update {signals} g
       set duplicate_detected = false, similar_to_payment_id = null, similarity_percentage = null, similarity_explanation = null
      from jsonb_to_recordset(failed) as f (key text)
      join {table} p on p.{key} = f.key::{key_type}
     where g.payment_submission_id = p.{key}
       and not exists (select from backfill.image_subject s where s.key = f.key and s.revision = md5(p.{url}))
$$;
comment on function backfill.fail_image_signals(jsonb) is 'Notes the payments that failed for good, with their error; they can be retried all the same.';

create view backfill.duplicates as
select a.payment, a.duplicate_of, a.submitted_at, a.first_submitted_at, {label_of_later}::text as label, a.first_label,
       later.{url} as image_url, first.{url} as first_image_url, a.verdict, a.same_file, a.percentage, backfill.image_finding(a) as finding, backfill.image_sentence(a) as explanation,
       a.marked, a.marked_by, a.marked_at, a.mark_reason, encode(a.picture, 'hex') as picture, encode(a.first_picture, 'hex') as first_picture,
       coalesce(a.found -> 'regions', '[]') as regions, coalesce(a.found -> 'first_regions', '[]') as first_regions, a.generation
  from backfill.image_subject s
  join backfill.image_alike a on a.payment = s.key
  join {table} later on later.{key} = s.native_key
  join {table} first on first.{key} = a.duplicate_of::{key_type}
 where s.alike;
comment on view backfill.duplicates is 'Payments whose screenshot is that of an earlier payment, or so like it that a person should look; one row a picture that it is like.';
comment on column backfill.duplicates.payment is 'Key of the later payment.';
comment on column backfill.duplicates.duplicate_of is 'Key of the earliest payment with that picture.';
comment on column backfill.duplicates.submitted_at is 'When the later one was submitted.';
comment on column backfill.duplicates.first_submitted_at is 'When the earlier one was.';
comment on column backfill.duplicates.label is 'What people call the later one, such as its flat.';
comment on column backfill.duplicates.first_label is 'The same of the earlier one.';
comment on column backfill.duplicates.image_url is 'Address of the later one''s screenshot.';
comment on column backfill.duplicates.first_image_url is 'Address of the earlier one''s.';
comment on column backfill.duplicates.verdict is 'copy, or review: a person should look.';
comment on column backfill.duplicates.same_file is 'Whether the files are equal, byte for byte.';
comment on column backfill.duplicates.percentage is 'How much of what both show is the same, 0..100.';
comment on column backfill.duplicates.finding is 'What was found, in short.';
comment on column backfill.duplicates.explanation is 'How that was found, step by step.';
comment on column backfill.duplicates.marked is 'What a person said: duplicate, not_duplicate, or null.';
comment on column backfill.duplicates.marked_by is 'Who said so.';
comment on column backfill.duplicates.marked_at is 'When.';
comment on column backfill.duplicates.mark_reason is 'Why.';
comment on column backfill.duplicates.picture is 'SHA-256 of the later one''s file, hex; its thumbnail is in image_picture.';
comment on column backfill.duplicates.first_picture is 'The same of the earlier one.';
comment on column backfill.duplicates.regions is 'Where the later one differs: boxes [left, top, width, height] in shares of its sides.';
comment on column backfill.duplicates.first_regions is 'The same places in the earlier one.';
comment on column backfill.duplicates.generation is 'Version of the algorithm that compared them.';

create view backfill.image_signals_coverage as
select count(*) as total_payments_with_screenshots,
       count(*) filter (where g.analysis_status = 'completed') as total_analyzed,
       count(*) filter (where g.duplicate_detected) as duplicates_detected,
       round(100.0 * count(*) filter (where g.analysis_status = 'completed') / nullif(count(*), 0), 1) as percent_analyzed
  from {table} p left join {signals} g on g.payment_submission_id = p.{key}
 where btrim(p.{url}) <> '';
comment on view backfill.image_signals_coverage is 'How many payments with a screenshot are analysed. Reads both tables.';
comment on column backfill.image_signals_coverage.total_payments_with_screenshots is 'Payments that have one.';
comment on column backfill.image_signals_coverage.total_analyzed is 'Of these, analysed to the end.';
comment on column backfill.image_signals_coverage.duplicates_detected is 'Of these, duplicates of an earlier payment''s.';
comment on column backfill.image_signals_coverage.percent_analyzed is 'Share that is analysed.';

create view backfill.image_signals_status as
select g.analysis_status, count(*) as count from {signals} g group by g.analysis_status order by count(*) desc;
comment on view backfill.image_signals_status is 'Payments by status of the analysis. Reads the whole table.';
comment on column backfill.image_signals_status.analysis_status is 'pending, processing, completed, failed or skipped.';
comment on column backfill.image_signals_status.count is 'Payments in it.';

create view backfill.image_signals_newest_duplicates as
select p.{key} as payment, {label}::text as label, p.{created_at} as created_at, g.similar_to_payment_id, g.similarity_percentage, g.similarity_explanation
  from {signals} g join {table} p on p.{key} = g.payment_submission_id
 where g.duplicate_detected
 order by p.{created_at} desc limit 20;
comment on view backfill.image_signals_newest_duplicates is 'The twenty newest duplicates.';
comment on column backfill.image_signals_newest_duplicates.payment is 'The payment.';
comment on column backfill.image_signals_newest_duplicates.label is 'What people call it, such as its flat.';
comment on column backfill.image_signals_newest_duplicates.created_at is 'When it was submitted.';
comment on column backfill.image_signals_newest_duplicates.similar_to_payment_id is 'The earliest payment with the same screenshot.';
comment on column backfill.image_signals_newest_duplicates.similarity_percentage is 'How much of what both show is the same.';
comment on column backfill.image_signals_newest_duplicates.similarity_explanation is 'How that was found.';

create view backfill.image_signals_checks as
with g as (
    select count(*) as signals, count(*) filter (where analysis_status = 'completed') as completed,
           count(*) filter (where duplicate_detected) as duplicates,
           count(*) filter (where duplicate_detected and not exists (select from {table} e where e.{key} = similar_to_payment_id)) as pointless,
           count(*) filter (where similarity_percentage not between 0 and 100 or text_density_score not between 0 and 100) as outside,
           count(*) filter (where analysis_status = 'failed' and analysis_error is null) as unexplained,
           count(*) filter (where analysis_status = 'completed' and similarity_explanation is null) as silent,
           count(distinct perceptual_hash) as hashes, count(perceptual_hash) as hashed
      from {signals}
), w as (
    select count(*) as wrong from {signals} g
      join {table} p on p.{key} = g.payment_submission_id join {table} e on e.{key} = g.similar_to_payment_id
     where (backfill.image_time(e.{created_at}), e.{key}) > (backfill.image_time(p.{created_at}), p.{key})
), m as (
    select count(*) as missing from {table} p left join {signals} g on g.payment_submission_id = p.{key}
     where btrim(p.{url}) <> '' and coalesce(g.analysis_status, 'pending') not in ('completed', 'failed')
), h as (
    select count(*) as off from (
        select s.hash, s.algorithm, count(*) as many from backfill.image_subject s where s.hash is not null group by 1, 2) s
      full join (select * from {hashes} where algorithm in (select distinct algorithm from backfill.image_subject)) i using (hash, algorithm)
     where i.upload_count is distinct from s.many
)
select c.name, c.ok, c.detail
  from g cross join w cross join m cross join h
 cross join lateral (values
       ('some screenshots are analysed', g.completed > 0, format('%s of %s', g.completed, g.signals)),
       ('every payment with a screenshot is analysed or has failed', m.missing = 0, format('%s are still to come', m.missing)),
       ('every failure says why', g.unexplained = 0, format('%s do not', g.unexplained)),
       ('every duplicate points to a payment', g.pointless = 0, format('%s do not', g.pointless)),
       ('no duplicate points to a later payment', w.wrong = 0, format('%s do', w.wrong)),
       ('every comparison is explained', g.silent = 0, format('%s are not', g.silent)),
       ('not every payment is a duplicate', g.completed < 10 or g.duplicates < 0.9 * g.completed, format('%s of %s', g.duplicates, g.completed)),
       ('hashes differ from picture to picture', g.hashed < 10 or g.hashes > 1, format('%s different of %s', g.hashes, g.hashed)),
       ('percentages and scores are between 0 and 100', g.outside = 0, format('%s outside', g.outside)),
       ('the hash index counts what there is', h.off = 0, format('%s hashes are off', h.off))
       ) as c (name, ok, detail);
comment on view backfill.image_signals_checks is 'Sanity checks of the results. Reads whole tables.';
comment on column backfill.image_signals_checks.name is 'What should be true.';
comment on column backfill.image_signals_checks.ok is 'Whether it is.';
comment on column backfill.image_signals_checks.detail is 'The figures behind it.';
