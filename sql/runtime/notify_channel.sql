-- Purpose: Notify a channel; to prove that what is notified is heard.
-- Parameters: channel; payload: any, to know it again
-- Index: none
-- Lock order: none
select pg_notify(%(channel)s, %(payload)s)
