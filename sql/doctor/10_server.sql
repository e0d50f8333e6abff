-- Purpose: Is this server one that pgbackfill can work on?
-- Parameters: none
-- Index: none
-- Lock order: none
select case when current_setting('server_version_num')::integer >= 140000 then 'ok' else 'fail' end as level,
       format('PostgreSQL %s', current_setting('server_version')) as what,
       case when current_setting('server_version_num')::integer < 140000 then 'pgbackfill needs PostgreSQL 14 or newer' end as advice
union all
select 'fail', 'this server is a standby, which can''t be written to', 'connect to the primary'
 where pg_is_in_recovery()
union all
select 'fail', format('transactions are read-only here (default_transaction_read_only of %s)', session_user),
       format('alter role %I set default_transaction_read_only = off', session_user)
 where not pg_is_in_recovery() and current_setting('default_transaction_read_only')::boolean
union all
select 'warn', format('statement_timeout is %s for %s: a claim or a sweep''s chunk that takes longer is cancelled', current_setting('statement_timeout'), session_user),
       format('alter role %I set statement_timeout = ''1min''', session_user)
 where current_setting('statement_timeout') <> '0'
   and (select setting::bigint from pg_settings where name = 'statement_timeout') < 10000
union all
select 'warn', format('%s of %s connections are taken', count(*), current_setting('max_connections')),
       'use fewer processes, or a pooler: each process takes three connections'
  from pg_stat_activity
 where backend_type = 'client backend'
having count(*) > 0.8 * current_setting('max_connections')::integer
