-- image_signals: remove the hashes of pictures and what searches them

drop function backfill.image_candidates_batch(integer, jsonb, integer, integer);
drop function backfill.image_candidates(integer, bigint[], integer, integer, text);
drop function backfill.image_hash_candidates(integer, text[], bigint[], integer, integer);
drop function backfill.image_hash_search(integer, bigint[], integer, integer);
drop function backfill.image_hash_probe(integer, bigint[], backfill.image_hash_mask, integer, integer);
drop function backfill.image_hash_prune();
drop function backfill.image_hash_add_batch(integer, jsonb);
drop table backfill.image_hash_owner, backfill.image_hash_mask, backfill.image_hash;
drop function backfill.image_hash_band_a(bigint);
drop function backfill.image_hash_band_b(bigint);
drop function backfill.image_hash_band_c(bigint);
drop function backfill.image_hash_band_d(bigint);
