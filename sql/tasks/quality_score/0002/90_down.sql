-- quality_score: remove what the activity log says of an image, and how scores are spread

drop view backfill.quality_score_histogram, backfill.activity_quality_score;
