-- Sanity checks: every row must say ok
select * from backfill.vehicle_images_checks;
