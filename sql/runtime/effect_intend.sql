-- Purpose: Write the intent of calls before they are made, and what became of earlier ones.
-- Parameters: runner: this process's runner id; intents: an array of id, key, attempt, provider,
--   operation, region, subject, reference, payer, usd; said: an array of id, state, usd, note
-- Index: effect, runner, run and spend_month by primary key, job_is_unique, effect_intended
-- Lock order: effects in order of id, their counters, runner row (key share), run row and the task's
--   budgets where there are any (no key update)
select * from backfill.intend(%(runner)s, %(intents)s::jsonb, %(said)s::jsonb)
