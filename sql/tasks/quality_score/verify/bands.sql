-- Images in each band of quality
select * from backfill.quality_score_bands;
