-- How many vehicles have their pictures
select * from backfill.vehicle_images_coverage;
