-- Purpose: point the sample rows to the picture host when it listens on another port than before.
-- Parameters: base_url, the host's address with no slash at its end.
-- Index used: none, the table is small.
-- Lock order: rows as they lie in the table.
update public.images
   set url = %(base_url)s || substring(url from '^http://127\.0\.0\.1:\d+(/.*)$')
 where url ~ '^http://127\.0\.0\.1:\d+/'
   and not starts_with(url, %(base_url)s || '/')
