-- Purpose: Measure a guard, and take down what follows.
-- Parameters: guard: its name
-- Index: guard, guard_reading by primary key
-- Lock order: the guard's reading (no key update), and nothing else
select backfill.evaluate_guard(%(guard)s) as state
