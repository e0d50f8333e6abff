"""What a search reads."""

from __future__ import annotations

from random import Random

import pytest

from tests.image_hashes.index import HashIndex, signed

ROWS = 20_000
SEARCH = "select * from backfill.image_hash_search(1, %s::bigint[])"
CANDIDATES = "select * from backfill.image_candidates(1, %s::bigint[])"
VALUES = (18 + 136) + (2 * 18 + 136) + (4 * 17 + 120) + 15
"""Values that are looked up in the bands' indexes for a radius of 10."""

FILL = """
select backfill.image_hash_add_batch(1, (
       select jsonb_agg(jsonb_build_object('key', lpad(to_hex(g), 64, '0'), 'hashes',
                                           jsonb_build_array(hashint8extended(g, 1))))
         from generate_series(1, %s) as g))
"""


@pytest.mark.parametrize("query", [SEARCH, CANDIDATES])
def test_plan_made_on_an_empty_table_holds_when_it_has_grown(index: HashIndex, query: str) -> None:
    """A session that searched when there was nothing keeps on walking the indexes."""
    random = Random(1)

    def asked(number: int) -> list[int]:
        return [signed(random.getrandbits(64)) for _ in range(number)]

    def touched(number: int) -> int:
        return max(index.buffers(query, asked(number)) for _ in range(5))

    assert index.all(query, asked(1)) == []
    index.one(FILL, ROWS)
    # a few pages a value; where each read a whole index, it would be a hundred
    assert touched(1) < 6 * VALUES
    assert touched(10) < 6 * VALUES * 10
    index.do("vacuum analyze backfill.image_hash")
    index.do("vacuum analyze backfill.image_hash_owner")
    assert touched(1) < 3 * VALUES
    assert touched(10) < 3 * VALUES * 10


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
