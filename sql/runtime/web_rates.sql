-- Purpose: Rates that all processes share, and what is used of them.
-- Parameters: name: the rate, or null for all
-- Index: rate_limit by primary key
-- Lock order: none
select * from backfill.rate_limits where %(name)s::text is null or name = %(name)s order by name
