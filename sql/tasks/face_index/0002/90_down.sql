-- face_index: remove the answers of operators
drop function backfill.leave_face(text);
drop function backfill.name_face(text, text);
