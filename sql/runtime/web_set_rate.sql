-- Purpose: Set a shared rate, a new one or one that is there; what is null stays.
-- Parameters: name: the rate; per_second, burst, concurrency, floor: see the table rate_limit
-- Index: rate_limit by primary key
-- Lock order: rate_limit row
select backfill.set_rate(%(name)s, %(per_second)s::double precision, %(burst)s::integer, %(concurrency)s::integer, %(floor)s::double precision)
