-- quality_score: what the activity log says of an image, and how scores are spread

create view backfill.activity_quality_score as
select i.{key} as native_key, null::text as label, 'Score ' || i.quality_score as words, 'Already analyzed'::text as skipped
  from {table} i;
comment on view backfill.activity_quality_score is 'What backfill.activity says of an image that is done.';
comment on column backfill.activity_quality_score.native_key is 'The image''s key.';
comment on column backfill.activity_quality_score.label is 'Null: an image is called by its key.';
comment on column backfill.activity_quality_score.words is 'Its score.';
comment on column backfill.activity_quality_score.skipped is 'What is said of one that needed no work any more.';

create view backfill.quality_score_histogram as
select b.from_score || '-' || b.to_score as label, b.from_score, b.to_score, count(i.quality_score) as images
  from (select g as from_score, case when g = 90 then 100 else g + 9 end as to_score from generate_series(0, 90, 10) as g) b
  left join (select least(x.quality_score / 10 * 10, 90) as from_score, x.quality_score from {table} x where x.quality_score is not null) i using (from_score)
 group by b.from_score, b.to_score
 order by b.from_score;
comment on view backfill.quality_score_histogram is 'How many images have which score, in steps of ten. Reads the whole table.';
comment on column backfill.quality_score_histogram.label is 'From which score to which.';
comment on column backfill.quality_score_histogram.from_score is 'Lowest score.';
comment on column backfill.quality_score_histogram.to_score is 'Highest score.';
comment on column backfill.quality_score_histogram.images is 'Images with one of these.';
