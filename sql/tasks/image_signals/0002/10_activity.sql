-- image_signals: what the activity log says of a payment

create view backfill.activity_image_signals as
select p.{key} as native_key, {label}::text as label,
       case when s.duplicate then 'Duplicate detected!' when s.similar_to is not null then 'Like an earlier one, for a person to look at' end as words,
       'Already analyzed'::text as skipped
  from {table} p
  left join backfill.image_subject s on s.key = p.{key}::text;
comment on view backfill.activity_image_signals is 'What backfill.activity calls a payment, and what it says of one that is done.';
comment on column backfill.activity_image_signals.native_key is 'The payment''s key.';
comment on column backfill.activity_image_signals.label is 'What people call it, such as its flat.';
comment on column backfill.activity_image_signals.words is 'What was found; null: nothing out of the ordinary.';
comment on column backfill.activity_image_signals.skipped is 'What is said of one that needed no work any more.';
