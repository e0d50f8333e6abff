-- Sanity checks: every row must say ok
select * from backfill.image_signals_checks;
