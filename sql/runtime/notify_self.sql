-- Purpose: Prove that what is notified is heard here: a pooler may swallow it without a word.
-- Parameters: word: any, to know it again
-- Index: none
-- Lock order: none
select pg_notify('backfill_arrival', %(word)s)
