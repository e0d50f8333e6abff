-- Purpose: What a shared rate allows.
-- Parameters: name: the rate
-- Index: rate_limit by primary key
-- Lock order: none
select ceiling::double precision as per_second from backfill.rate_limits where name = %(name)s
