-- Purpose: May anybody do more through the web server than a token allows?
-- Parameters: none
-- Index: none
-- Lock order: none
select 'warn' as level, 'backfill_server has the rights of operators before it takes any role on' as what,
       'on PostgreSQL 16 and newer: grant backfill_operator to backfill_server with inherit false; before: alter role backfill_server noinherit' as advice
  from pg_roles s
  join pg_roles o on o.rolname = 'backfill_operator'
 where s.rolname = 'backfill_server' and pg_has_role(s.oid, o.oid, 'usage')
union all
select 'warn', format('login %s is a member of backfill_server and of backfill_runner: its processes could put any token''s name into the audit', r.rolname),
       'give the web server and the workers a login each'
  from pg_roles r
  join pg_auth_members s on s.member = r.oid and s.roleid = to_regrole('backfill_server')
  join pg_auth_members w on w.member = r.oid and w.roleid = to_regrole('backfill_runner')
