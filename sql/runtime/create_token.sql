-- Purpose: Make a token; its secret, which is told this once.
-- Parameters: token: its name; role: viewer, operator or admin; valid_s: seconds until it expires, null for never
-- Index: token_by_name
-- Lock order: the expired token of this name (update)
select backfill.create_token(%(token)s, %(role)s, make_interval(secs => %(valid_s)s::double precision)) as secret
