-- Purpose: Reserve an amount of a run's budget.
-- Parameters: id: the reservation's name; runner: this process's runner id; meter; amount; at_least: or null
-- Index: runner, run and reservation by primary key, runner_by_run, reservation_by_runner
-- Lock order: runner row (key share), run row (no key update), reservation row
select * from backfill.reserve(%(id)s, %(runner)s, %(meter)s, %(amount)s::numeric, %(at_least)s::numeric)
