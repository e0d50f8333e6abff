-- Purpose: Write down a person's judgement of two payments.
-- Parameters: payment, other: their keys, in any order; is_duplicate: the judgement; reason: in words, or null
-- Index: that of the marks
-- Lock order: the pair's mark
select backfill.mark_duplicate(%(payment)s::text, %(other)s::text, %(is_duplicate)s::boolean, %(reason)s::text)
