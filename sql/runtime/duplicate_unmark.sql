-- Purpose: Take a person's judgement of two payments back.
-- Parameters: payment, other: their keys, in any order
-- Index: that of the marks
-- Lock order: the pair's mark
select backfill.unmark_duplicate(%(payment)s::text, %(other)s::text) as was_marked
