-- image_signals: remove what the activity log says of a payment

drop view backfill.activity_image_signals;
