-- Purpose: Whether this login is a server's, and may act as each role that tokens have.
-- Parameters: none
-- Index: pg_authid by name
-- Lock order: none
select r.role, coalesce(pg_has_role(session_user, (select a.oid from pg_catalog.pg_roles a where a.rolname = r.role), 'member'), false) as may
  from (values ('backfill_server'), ('backfill_reader'), ('backfill_operator'), ('backfill_admin')) r (role)
