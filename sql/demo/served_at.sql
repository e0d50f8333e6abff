-- Purpose: find the port of the picture host that the sample rows point to.
-- Parameters: none. Returns one row with the port, or none.
-- Index used: none; reads up to the first row whose address is on the host.
select substring(url from '^http://127\.0\.0\.1:(\d+)/')::integer as port
  from public.images
 where url ~ '^http://127\.0\.0\.1:\d+/'
 limit 1
