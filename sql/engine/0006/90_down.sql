-- pgbackfill, engine: remove what revision 6 made; claim(), finish(), prune(), the views runs and
-- progress, and the functions that say who may do what are made anew from the scripts of earlier
-- revisions, the two views before this script. What was spent is forgotten, and so are calls that
-- nobody has settled.

drop view backfill.effects, backfill.spend, backfill.run_costs, backfill.budgets;
drop function backfill.claim(bigint, integer, bigint, timestamptz, boolean), backfill.finish(bigint, jsonb), backfill.prune(interval);
drop function backfill.sample(text, text, boolean, integer, bigint), backfill.run_summary(bigint), backfill.intend(bigint, jsonb, jsonb), backfill.note_spent_out(backfill.run, text, numeric, numeric, numeric, numeric),
    backfill.max_cost(backfill.run), backfill.budget_reason(text), backfill.run_spend(text, bigint), backfill.task_spend(text, text),
    backfill.set_budget(text, numeric, text), backfill.count_said_spend(text, bigint, numeric),
    backfill.settle_effect(uuid, boolean, text), backfill.settle_effects(text, text[], jsonb), backfill.note_effects(jsonb),
    backfill.take_cost_back(backfill.effect), backfill.count_cost(uuid[]), backfill.estimate_usd(text, text, text, bigint),
    backfill.calls_this_month(text, text, text), backfill.price_usd(text, text, text, bigint),
    backfill.set_price(text, text, numeric, bigint, text), backfill.utc_day(timestamptz), backfill.utc_month(timestamptz);
drop table backfill.task_budget, backfill.run_cost, backfill.effect, backfill.spend_day, backfill.spend_month, backfill.price;
drop function backfill.log_price();
