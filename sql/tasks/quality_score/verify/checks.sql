-- Sanity checks: every row must say ok
select * from backfill.quality_score_checks;
