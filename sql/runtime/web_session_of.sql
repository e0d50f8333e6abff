-- Purpose: Whose session at the console this is.
-- Parameters: session_hash: SHA-256 of what the cookie holds
-- Index: login_session by primary key
-- Lock order: login_session row, then token row, now and then
select * from backfill.session_of(%(session_hash)s)
