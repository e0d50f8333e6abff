-- Payments by status of the analysis
select * from backfill.image_signals_status;
