-- The newest duplicates
select * from backfill.image_signals_newest_duplicates;
