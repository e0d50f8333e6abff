-- quality_score: the binding to the application's table. Both objects are the DBA's to replace, as
-- long as the columns of the view and the meaning of the function stay.

create view backfill.needs_quality_score as
-- not scored yet, or an input changed since: the partial index needs_quality_score_idx
select i.{key}::text as key, i.{key} as native_key, {revision} as revision,
       i.{url} as url, {width} as width, {height} as height, {source_type} as source_type, {boxes} as boxes
  from {table} i
 where i.{url} is not null
   and (i.quality_score is null or (i.quality_details ->> 'revision') <> {revision})
union all
-- scored by us under a lower version
select i.{key}::text, i.{key}, {revision}, i.{url}, {width}, {height}, {source_type}, {boxes}
  from {table} i
 where i.{url} is not null
   and i.quality_score is not null
   and (i.quality_details ->> 'revision') = {revision}
   and ((i.quality_details ->> 'version')::integer) < (select t.version from backfill.task t where t.name = 'quality_score');
comment on view backfill.needs_quality_score is 'Images that need a quality score: without one, with an input that changed since, or scored under a lower version.';
comment on column backfill.needs_quality_score.key is 'The image''s key, as text.';
comment on column backfill.needs_quality_score.native_key is 'The image''s key, to scan by.';
comment on column backfill.needs_quality_score.revision is 'Changes when the picture''s address or its stored boxes change.';
comment on column backfill.needs_quality_score.url is 'Address of the picture; relative for a local upload.';
comment on column backfill.needs_quality_score.width is 'Stored width, pixels.';
comment on column backfill.needs_quality_score.height is 'Stored height, pixels.';
comment on column backfill.needs_quality_score.source_type is 'unsplash, local_upload or url.';
comment on column backfill.needs_quality_score.boxes is 'Stored boxes of the subject, if any.';

create function backfill.apply_quality_score(results jsonb)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    update {table} i
       set quality_score = (r.result ->> 'quality_score')::integer,
           quality_details = (r.result -> 'quality_details') || jsonb_build_object('revision', r.revision)
      from jsonb_to_recordset(results) as r (key text, revision text, result jsonb)
     where i.{key} = r.key::{key_type}
$$;
comment on function backfill.apply_quality_score(jsonb) is 'Writes a batch of scores with their details.';

create view backfill.quality_score_bands as
select b.band, b.from_score, b.to_score, count(i.quality_score) as images,
       round(100.0 * count(i.quality_score) / nullif(sum(count(i.quality_score)) over (), 0), 1) as percent
  from (values ('high', 80, 100), ('medium', 60, 79), ('low', 0, 59)) as b (band, from_score, to_score)
  left join {table} i on i.quality_score between b.from_score and b.to_score
 group by b.band, b.from_score, b.to_score
 order by b.from_score desc;
comment on view backfill.quality_score_bands is 'How many images are in each band of quality: high 80..100, medium 60..79, low 0..59. Reads the whole table.';
comment on column backfill.quality_score_bands.band is 'high, medium or low.';
comment on column backfill.quality_score_bands.from_score is 'Lowest score in it.';
comment on column backfill.quality_score_bands.to_score is 'Highest score in it.';
comment on column backfill.quality_score_bands.images is 'Images in it.';
comment on column backfill.quality_score_bands.percent is 'Their share of all scored images.';

create view backfill.quality_score_coverage as
select count(*) as total_images, count(quality_score) as images_with_scores,
       count(*) - count(quality_score) as images_without_scores, round(avg(quality_score), 2) as avg_quality_score
  from {table};
comment on view backfill.quality_score_coverage is 'How many images have a score. Reads the whole table.';
comment on column backfill.quality_score_coverage.total_images is 'All images.';
comment on column backfill.quality_score_coverage.images_with_scores is 'With a score.';
comment on column backfill.quality_score_coverage.images_without_scores is 'Without one.';
comment on column backfill.quality_score_coverage.avg_quality_score is 'Mean score.';

create view backfill.quality_score_checks as
with s as (
    select count(*) as images, count(quality_score) as scored, min(quality_score) as least, max(quality_score) as most,
           count(distinct quality_score) as different,
           count(*) filter (where quality_score not between 0 and 100) as outside,
           count(*) filter (where quality_details is not null and quality_score is not null
                              and (quality_details ->> 'version') is null) as unversioned,
           count(*) filter (where quality_score is null and {url} is not null) as missing
      from {table}
), j as (
    select count(*) filter (where state in ('failed', 'nothing_found', 'skipped')) as explained from backfill.job where task = 'quality_score'
)
select c.name, c.ok, c.detail
  from s cross join j
 cross join lateral (values
       ('some images have a score', s.scored > 0, format('%s of %s', s.scored, s.images)),
       ('no image is left without a score or a reason', s.missing <= j.explained, format('%s without a score, %s with a reason', s.missing, j.explained)),
       ('every score is between 0 and 100', s.outside = 0, format('%s outside', s.outside)),
       ('scores are not all 0', s.scored = 0 or s.most > 0, format('highest is %s', s.most)),
       ('scores are not all 100', s.scored = 0 or s.least < 100, format('lowest is %s', s.least)),
       ('scores differ from image to image', s.scored < 10 or s.different > 1, format('%s different scores', s.different)),
       ('every computed score says its version', s.unversioned = 0, format('%s do not', s.unversioned))
       ) as c (name, ok, detail);
comment on view backfill.quality_score_checks is 'Sanity checks of the scores'' distribution. Reads the whole table.';
comment on column backfill.quality_score_checks.name is 'What should be true.';
comment on column backfill.quality_score_checks.ok is 'Whether it is.';
comment on column backfill.quality_score_checks.detail is 'The figures behind it.';
