"""What a search reads."""

from __future__ import annotations

from random import Random

import pytest

from tests.image_hashes.index import HashIndex, signed

ROWS = 30_000
SEARCH = "select * from backfill.image_hash_search(1, %s::bigint[])"
CANDIDATES = "select * from backfill.image_candidates(1, %s::bigint[])"
VALUES = (18 + 136) + (2 * 18 + 136) + (4 * 17 + 120) + 15
"""Values that are looked up in the bands' indexes for a radius of 10."""

FILL = """
select backfill.image_hash_add_batch(1, (
       select jsonb_agg(jsonb_build_object('key', 'p' || g, 'hashes',
                                           jsonb_build_array(hashint8extended(g, 1))))
         from generate_series(1, %s) as g))
"""


@pytest.mark.parametrize("vacuumed", [False, True])
@pytest.mark.parametrize("number", [1, 10])
@pytest.mark.parametrize("query", [SEARCH, CANDIDATES])
def test_plan_made_on_an_empty_table_holds_when_it_has_grown(
    index: HashIndex, query: str, number: int, vacuumed: bool
) -> None:
    """A session that searched when there was nothing keeps on walking the indexes."""
    random = Random(1)

    def asked() -> list[int]:
        return [signed(random.getrandbits(64)) for _ in range(number)]

    assert index.all(query, asked()) == []
    index.one(FILL, ROWS)
    if vacuumed:
        index.do("vacuum analyze backfill.image_hash")
        index.do("vacuum analyze backfill.image_hash_owner")
    touched = [index.buffers(query, asked()) for _ in range(5)]
    # a few pages a value; where each read a whole index, it would be a hundred
    assert max(touched) < 6 * VALUES * number


def test_search_reads_no_table_that_vacuum_has_seen(index: HashIndex) -> None:
    """Once the table is vacuumed, a search reads indexes alone."""
    index.one(FILL, ROWS)
    index.do("vacuum analyze backfill.image_hash")
    query = "explain (analyze, format json) select * from backfill.image_hash_search(1, '{7}')"
    fetched = """
        select coalesce(sum(seq_tup_read), 0) + coalesce(sum(idx_tup_fetch), 0)
          from pg_stat_xact_user_tables where relid = 'backfill.image_hash'::regclass
    """
    with index.connection.transaction():
        before = index.one(fetched)
        index.all(query)
        assert index.one(fetched) == before


@pytest.mark.parametrize("table", ["image_hash", "image_hash_owner"])
def test_vacuum_comes_after_a_number_of_inserts(index: HashIndex, table: str) -> None:
    """However large the table, some thousands of inserts bring autovacuum on."""
    options = index.one(
        "select reloptions from pg_class where oid = %s::regclass", f"backfill.{table}"
    )
    assert "autovacuum_vacuum_insert_scale_factor=0" in options
    assert "autovacuum_vacuum_insert_threshold=10000" in options
