-- How many payments with a screenshot are analysed
select * from backfill.image_signals_coverage;
