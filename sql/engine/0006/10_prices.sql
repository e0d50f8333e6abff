-- pgbackfill, engine: what paid calls cost, and what was spent
--
-- A provider has a price a call for each operation, in tiers: the first million calls of a month
-- cost more than the next. Months and days are those of UTC, as providers bill.
--
-- What was spent is kept in two tables that outlive runs, jobs and tasks: by month, small, for
-- budgets and tiers; by day and payer, for whoever has to pass the bill on.

create table backfill.price (
    provider   text not null,
    operation  text not null,
    region     text not null default '*',
    from_calls bigint not null default 0,
    usd        numeric not null,
    taken_from text,
    primary key (provider, operation, region, from_calls),
    constraint price_is_named check (length(provider) between 1 and 60 and length(operation) between 1 and 60 and length(region) between 1 and 60),
    constraint price_tier_begins_at_a_count check (from_calls >= 0),
    constraint price_is_an_amount check (usd >= 0 and usd < 'Infinity')
);
comment on table backfill.price is 'What a paid call costs, in tiers of calls a month; set by set_price(). Calls made so far keep the price that they had.';
comment on column backfill.price.provider is 'Whose call it is: rekognition.';
comment on column backfill.price.operation is 'The call, as the provider names it: IndexFaces.';
comment on column backfill.price.region is 'Where the provider bills it; *: wherever no price of its own is set.';
comment on column backfill.price.from_calls is 'Calls of the month that come before this tier.';
comment on column backfill.price.usd is 'US dollars a call.';
comment on column backfill.price.taken_from is 'The region whose price this is, where it stands in for all others; null: somebody set it.';

-- https://aws.amazon.com/rekognition/pricing/, for us-east-1: image analysis, groups 1 (IndexFaces,
-- SearchFaces) and 2 (DetectLabels), first million a month, next 4 million, next 30 million. Above
-- 35 million it is less, for each group in its own way; that tier is left out, so that what lies
-- there is rated too high. So is what a free tier gives. us-east-2, us-west-2 and eu-west-1 are
-- believed to cost the same and other regions up to a third more: that page shows prices to browsers
-- only, so they are to be looked up there and set. What stored faces cost a month is no call.
insert into backfill.price (provider, operation, from_calls, usd, taken_from)
select 'rekognition', o.operation, t.from_calls, t.usd, 'us-east-1'
  from unnest(array['IndexFaces', 'SearchFaces', 'SearchFacesByImage', 'DetectLabels']) as o (operation)
 cross join (values (0, 0.001), (1000000, 0.0008), (5000000, 0.0006)) as t (from_calls, usd);

create function backfill.log_price() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform backfill.log_event('set_price', null, null, jsonb_strip_nulls(jsonb_build_object(
        'from', case when tg_op <> 'INSERT' then to_jsonb(old) end, 'to', case when tg_op <> 'DELETE' then to_jsonb(new) end)));
    return null;
end $$;
comment on function backfill.log_price() is 'Puts a change of a price into the audit, whoever made it.';
create trigger price_is_logged after insert or update or delete on backfill.price
    for each row execute function backfill.log_price();
comment on trigger price_is_logged on backfill.price is 'A change of a price leaves its event like all else that an operator does.';

create function backfill.set_price(
    p_provider text, p_operation text, p_usd numeric, p_from_calls bigint default 0, p_region text default '*')
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if p_usd is null then
        delete from backfill.price p
         where p.provider = p_provider and p.operation = p_operation and p.region = p_region and p.from_calls = p_from_calls;
        return;
    end if;
    insert into backfill.price as p (provider, operation, region, from_calls, usd)
    values (p_provider, p_operation, p_region, p_from_calls, p_usd)
    on conflict (provider, operation, region, from_calls) do update
       set usd = excluded.usd, taken_from = null where p.usd <> excluded.usd or p.taken_from is not null;
end $$;
comment on function backfill.set_price(text, text, numeric, bigint, text) is
    'Sets the price of a call in US dollars from so many calls of a month on; null takes the tier out. Holds from the next call on.';

create table backfill.spend_month (
    month     date not null,
    provider  text not null,
    operation text not null,
    region    text not null,
    task      text not null,
    calls     bigint not null,
    usd       numeric not null,
    primary key (month, provider, operation, region, task)
);
comment on table backfill.spend_month is 'What was spent in each month; for budgets and tiers.';
comment on column backfill.spend_month.month is 'First day of the month, UTC.';
comment on column backfill.spend_month.provider is 'Whose calls; empty: what results said they cost.';
comment on column backfill.spend_month.operation is 'Which calls.';
comment on column backfill.spend_month.region is 'Where they were billed.';
comment on column backfill.spend_month.task is 'For which task.';
comment on column backfill.spend_month.calls is 'How many were charged.';
comment on column backfill.spend_month.usd is 'US dollars.';

create table backfill.spend_day (
    task      text not null,
    day       date not null,
    payer     text not null,
    provider  text not null,
    operation text not null,
    region    text not null,
    calls     bigint not null,
    usd       numeric not null,
    primary key (task, day, payer, provider, operation, region)
);
comment on table backfill.spend_day is 'What was spent on each day, and for whom; see the view spend.';
comment on column backfill.spend_day.task is 'For which task.';
comment on column backfill.spend_day.day is 'The day, UTC.';
comment on column backfill.spend_day.payer is 'For whom, as the task said; empty: it did not.';
comment on column backfill.spend_day.provider is 'Whose calls; empty: what results said they cost.';
comment on column backfill.spend_day.operation is 'Which calls.';
comment on column backfill.spend_day.region is 'Where they were billed.';
comment on column backfill.spend_day.calls is 'How many were charged.';
comment on column backfill.spend_day.usd is 'US dollars.';

create function backfill.utc_day(p_at timestamptz)
returns date language sql immutable set search_path = pg_catalog, pg_temp as $$ select (p_at at time zone 'UTC')::date $$;
comment on function backfill.utc_day(timestamptz) is 'The day that a provider bills a call on.';

create function backfill.utc_month(p_at timestamptz)
returns date language sql immutable set search_path = pg_catalog, pg_temp as $$ select date_trunc('month', p_at at time zone 'UTC')::date $$;
comment on function backfill.utc_month(timestamptz) is 'First day of the month that a provider bills a call in.';

create function backfill.price_usd(p_provider text, p_operation text, p_region text, p_calls bigint)
returns numeric language sql stable set search_path = pg_catalog, pg_temp as $$
    select p.usd from backfill.price p
     where p.provider = p_provider and p.operation = p_operation and p.region in (p_region, '*') and p.from_calls <= p_calls
     order by p.region = p_region desc, p.from_calls desc limit 1
$$;
comment on function backfill.price_usd(text, text, text, bigint) is
    'US dollars that the next call costs after so many of the month; null: no price is set. A region''s own tiers come before those of *.';
