-- rate_throttled
-- Purpose: Tell that a provider refused a call for its rate, and when it is to be asked again.
-- Parameters: name: the limit; after: seconds that it asked for, or null
-- Index: rate_limit by primary key
-- Lock order: the limit's row (no key update)
select backfill.throttled(%(name)s, %(after)s::double precision)
