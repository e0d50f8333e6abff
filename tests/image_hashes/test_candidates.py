"""Candidates of a picture: all pictures near it, the nearest first, and few enough to compare."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from tests.image_hashes.index import EPOCH, Candidate, HashIndex, distance, signed
from tests.image_hashes.test_search import SHARED, centres, near

Pictures = dict[str, list[int | None]]


@st.composite
def pictures(draw: st.DrawFn) -> Pictures:
    """Pictures with several hashes each, some missing, all around the same few templates."""
    around = draw(centres)
    hashes = st.lists(st.none() | near(around), max_size=4)
    return {f"p{i}": h for i, h in enumerate(draw(st.lists(hashes, min_size=1, max_size=15)))}


def expected(stored: Pictures, asked: str, radius: int) -> list[tuple[str, int]]:
    """Key and distance by brute force, the nearest first, then in order of arrival."""
    found = []
    for place, (key, theirs) in enumerate(stored.items()):
        pairs = [(a, b) for a in stored[asked] for b in theirs if a is not None and b is not None]
        least = min((distance(a, b) for a, b in pairs), default=65)
        if key != asked and least <= radius:
            found.append((least, place, key))
    return [(key, least) for least, _, key in sorted(found)]


@SHARED
@given(pictures(), st.integers(0, 12))
def test_candidates_are_what_brute_force_finds(
    index: HashIndex, stored: Pictures, radius: int
) -> None:
    """The least distance of any hash to any other decides; a picture is not its own candidate."""
    generation = index.generation()
    index.add(generation, stored)
    asked = next(iter(stored))
    found = index.candidates(generation, stored[asked], radius, but=asked)
    assert [(c.key, c.distance) for c in found] == expected(stored, asked, radius)
    assert not any(c.large_cluster for c in found)


@SHARED
@given(pictures(), st.integers(0, 12), st.integers(1, 6), st.none() | st.integers(1, 3))
def test_cut_candidates_say_so(
    index: HashIndex, stored: Pictures, radius: int, most: int, per_hash: int | None
) -> None:
    """Where a candidate is missing, the others say it; there are never more than asked for."""
    generation = index.generation()
    index.add(generation, stored)
    asked = next(iter(stored))
    wanted = expected(stored, asked, radius)
    found = index.candidates(generation, stored[asked], radius, most, per_hash, asked)
    assert len(found) <= most
    assert {c.key for c in found} <= {key for key, _ in wanted}
    assert bool(found) == bool(wanted)
    if len(found) < len(wanted):
        assert all(c.large_cluster for c in found)
    elif not any(c.large_cluster for c in found):
        assert [(c.key, c.distance) for c in found] == wanted


@SHARED
@given(pictures(), st.integers(0, 12))
def test_batch_finds_what_one_by_one_finds(index: HashIndex, stored: Pictures, radius: int) -> None:
    """Asking for many pictures in one statement changes nothing but the number of statements."""
    generation = index.generation()
    index.add(generation, stored)
    batch = [{"key": key, "hashes": hashes} for key, hashes in stored.items()]
    query = "select * from backfill.image_candidates_batch(%s, %s, %s)"
    together: dict[str, list[Candidate]] = {key: [] for key in stored}
    for asked, *rest in index.all(query, generation, Jsonb(batch), radius):
        together[asked].append(Candidate(*rest))
    for key, hashes in stored.items():
        assert together[key] == index.candidates(generation, hashes, radius, 100, but=key)


def template(index: HashIndex, owners: int, neighbours: int) -> int:
    """A hash with so many pictures, amid so many other hashes at distance 2 with ten each."""
    centre = signed(0xDEAD_BEEF_0BAD_CAFE)
    pairs = [(a, b) for a in range(64) for b in range(a)][:neighbours]
    around = {f"n{i}": centre ^ signed(1 << a) ^ signed(1 << b) for i, (a, b) in enumerate(pairs)}
    index.all(
        """
        with given as (
            select 'o' || g as key, %s::bigint as hash, g as hours from generate_series(1, %s) as g
            union all
            select n.key || '-' || g, n.hash, g
              from unnest(%s::text[], %s::bigint[]) as n (key, hash)
             cross join generate_series(1, 10) as g
        )
        select backfill.image_hash_add_batch(1, (
               select jsonb_agg(jsonb_build_object('key', key, 'hashes', jsonb_build_array(hash),
                                                   'seen_at', %s + hours * interval '1 hour'))
                 from given))
        """,
        centre, owners, list(around), list(around.values()), EPOCH,
    )  # fmt: skip
    index.do("vacuum analyze backfill.image_hash")
    index.do("vacuum analyze backfill.image_hash_owner")
    return centre


def test_large_cluster_is_bounded_and_keeps_the_very_hash(index: HashIndex) -> None:
    """Of a template with thousands of pictures come the earliest with the very hash, and a mark."""
    centre = template(index, owners=5000, neighbours=1000)
    found = index.candidates(1, [centre], most=20)
    assert [c.key for c in found] == [f"o{i}" for i in range(1, 21)]
    assert {c.distance for c in found} == {0}
    assert all(c.large_cluster for c in found)
    query = "select * from backfill.image_candidates(1, array[%s]::bigint[], p_most => 20)"
    assert index.buffers(query, centre) < 1000
    batch = [{"key": f"b{i}", "hashes": [signed(centre ^ 1 << i)]} for i in range(20)]
    query = "select * from backfill.image_candidates_batch(1, %s, p_most => 20)"
    assert len(index.all(query, Jsonb(batch))) == 20 * 20
    assert index.buffers(query, Jsonb(batch)) < 1000 * 20


def test_cap_per_hash_lets_the_neighbours_in(index: HashIndex) -> None:
    """With a cap per hash, a crowded hash leaves room for those next to it."""
    centre = template(index, owners=5000, neighbours=3)
    found = index.candidates(1, [centre], most=20, per_hash=4)
    assert [c.key for c in found[:4]] == ["o1", "o2", "o3", "o4"]
    assert [c.distance for c in found] == [0] * 4 + [2] * 12
    assert found[4].seen_at == EPOCH + timedelta(hours=1)
    assert all(c.large_cluster for c in found)


def test_hash_between_two_clusters_is_found(index: HashIndex) -> None:
    """A cluster that is cut for one hash of a picture cuts nothing of its other hash's finds."""
    centre = template(index, owners=10, neighbours=1000)
    far = signed(~centre)
    index.add(1, {"copy": [far ^ 1]})
    found = index.candidates(1, [centre, far], most=50)
    assert [c.key for c in found if c.distance == 0] == [f"o{i}" for i in range(1, 11)]
    assert found[10] == ("copy", 1, EPOCH, True)


@pytest.mark.parametrize("most", [0, None])
def test_search_for_no_candidates_is_refused(index: HashIndex, most: int | None) -> None:
    """At most none is an error that says what to do."""
    with pytest.raises(psycopg.errors.InvalidParameterValue) as error:
        index.all("select * from backfill.image_candidates(1, '{1}', p_most => %s)", most)
    assert error.value.diag.message_hint == "use 1 or more"
