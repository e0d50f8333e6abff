-- rate_take
-- Purpose: Ask for calls under a shared rate, and hear when each may start.
-- Parameters: name: the limit; holder: this process; runner: its runner id, or null; costs: tokens of
--   each call wanted; busy: calls it makes now; succeeded: calls that went well since it asked last;
--   lead: seconds that the reply may take
-- Index: rate_limit and runner by primary key
-- Lock order: the limit's row (no key update)
select * from backfill.take_tokens(
    %(name)s, %(holder)s, %(runner)s::bigint, %(costs)s::integer[], %(busy)s, %(succeeded)s, %(lead)s)
