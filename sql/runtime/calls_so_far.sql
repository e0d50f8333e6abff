-- Purpose: Calls of an operation in the runs of a task that paid its provider, and rows that they brought to an end.
-- Parameters: task; provider; operation
-- Index: runner_by_task, run_cost by primary key, runner_by_run
-- Lock order: none
with paid as materialized (
    select distinct w.run_id as id from backfill.runner w join backfill.run_cost c on c.runner_id = w.id
     where w.task = %(task)s and c.provider = %(provider)s
)
select coalesce((select sum(c.calls) from paid p join backfill.runner w on w.run_id = p.id
                   join backfill.run_cost c on c.runner_id = w.id and c.provider = %(provider)s and c.operation = %(operation)s), 0)::bigint as calls,
       coalesce((select sum(w.ok + w.nothing_found) from paid p join backfill.runner w on w.run_id = p.id), 0)::bigint as rows
