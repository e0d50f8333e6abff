-- Purpose: What so many calls more would cost this month, through the price tiers; what the next one costs; and whose price that is, where it only stands in.
-- Parameters: provider; operation; region, or *; calls
-- Index: price and spend_month by primary key, effect_intended
-- Lock order: none; it only reads
with made as (
    select backfill.calls_this_month(%(provider)s, %(operation)s, %(region)s) as calls
)
select backfill.estimate_usd(%(provider)s, %(operation)s, %(region)s, %(calls)s::bigint) as usd,
       backfill.price_usd(%(provider)s, %(operation)s, %(region)s, m.calls) as each,
       (select p.taken_from from backfill.price p
         where p.provider = %(provider)s and p.operation = %(operation)s and p.region in (%(region)s, '*') and p.from_calls <= m.calls
         order by p.region = %(region)s desc, p.from_calls desc limit 1) as taken_from
  from made m
