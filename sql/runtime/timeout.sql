-- Purpose: Let the rest of the transaction's statements take this long at most.
-- Parameters: milliseconds: how long, as text
-- Index: none
-- Lock order: none
select set_config('statement_timeout', %(milliseconds)s, true)
