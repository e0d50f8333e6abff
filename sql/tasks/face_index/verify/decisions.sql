-- What was decided about faces; not all "assign" and not all "unknown", where people are known by name
select decision, count(*) as faces from backfill.face_state group by decision order by decision;
