-- face_index: remove what readers and operators call
drop function backfill.leave_face(text);
drop function backfill.name_face(text, text);
drop function backfill.review_faces(text, bigint, text);
