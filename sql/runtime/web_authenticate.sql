-- Purpose: Whose token this is.
-- Parameters: secret_hash: SHA-256 of the token
-- Index: token by its hash
-- Lock order: token row, at most once a minute
select * from backfill.authenticate(%(secret_hash)s)
