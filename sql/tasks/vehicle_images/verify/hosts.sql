-- What became of the URLs, by host: the twenty with most
select * from backfill.vehicle_hosts order by stored + duplicates + gone + refused + failed + pending desc, host limit 20;
