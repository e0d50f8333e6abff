-- How many pictures are done, and what was found in them
select * from backfill.face_index_coverage;
