-- How many images have a score
select * from backfill.quality_score_coverage;
