-- Sanity checks: every row must say ok
select * from backfill.face_index_checks;
