"""Candidates of a picture: all pictures near it, the nearest first, and few enough to compare."""

from __future__ import annotations

from random import Random

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.image_hashes.index import Candidate, HashIndex, batch, candidate, distance, signed
from tests.image_hashes.test_search import EXAMPLES, centres, near

Pictures = dict[str, list[int | None]]

CENTRE = signed(0xDEAD_BEEF_0BAD_CAFE)


@st.composite
def pictures(draw: st.DrawFn) -> Pictures:
    """Pictures with several hashes each, some missing, all around the same few templates."""
    around = draw(centres)
    hashes = st.lists(st.none() | near(around), max_size=4)
    return {f"p{i:02}": h for i, h in enumerate(draw(st.lists(hashes, min_size=1, max_size=15)))}


def expected(stored: Pictures, asked: str, radius: int) -> list[tuple[str, int]]:
    """Picture and distance by brute force, the nearest first, then by key."""
    found = []
    for picture, theirs in stored.items():
        pairs = [(a, b) for a in stored[asked] for b in theirs if a is not None and b is not None]
        least = min((distance(a, b) for a, b in pairs), default=65)
        if picture != asked and least <= radius:
            found.append((least, picture))
    return [(picture, least) for least, picture in sorted(found)]


@EXAMPLES
@given(pictures(), st.integers(0, 12))
def test_candidates_are_what_brute_force_finds(
    shared: HashIndex, stored: Pictures, radius: int
) -> None:
    """The least distance of any hash to any other decides; a picture is not its own candidate."""
    generation = shared.generation()
    shared.add(generation, stored)
    asked = next(iter(stored))
    found = shared.candidates(generation, stored[asked], radius, but=asked)
    assert [(c.picture, c.distance) for c in found] == expected(stored, asked, radius)
    assert not any(c.large_cluster for c in found)


@EXAMPLES
@given(pictures(), st.integers(0, 12), st.integers(1, 6))
def test_cut_candidates_say_so(shared: HashIndex, stored: Pictures, radius: int, most: int) -> None:
    """Where a candidate is missing, the others say it; there are never more than asked for."""
    generation = shared.generation()
    shared.add(generation, stored)
    asked = next(iter(stored))
    wanted = expected(stored, asked, radius)
    found = shared.candidates(generation, stored[asked], radius, most, asked)
    assert len(found) <= most
    assert {c.picture for c in found} <= {picture for picture, _ in wanted}
    assert bool(found) == bool(wanted)
    if len(found) < len(wanted):
        assert all(c.large_cluster for c in found)
    elif not any(c.large_cluster for c in found):
        assert [(c.picture, c.distance) for c in found] == wanted


@EXAMPLES
@given(pictures(), st.integers(0, 12))
def test_batch_finds_what_one_by_one_finds(
    shared: HashIndex, stored: Pictures, radius: int
) -> None:
    """Asking for many pictures in one statement changes nothing but the number of statements."""
    generation = shared.generation()
    shared.add(generation, stored)
    query = "select * from backfill.image_candidates_batch(%s, %s, %s)"
    together: dict[str, list[Candidate]] = {picture: [] for picture in stored}
    for asked, *row in shared.all(query, generation, batch(stored), radius):
        together[bytes.fromhex(asked).decode()].append(candidate(*row))
    for picture, hashes in stored.items():
        assert together[picture] == shared.candidates(generation, hashes, radius, 100, but=picture)


def test_own_hashes_take_nobodys_place(shared: HashIndex) -> None:
    """A picture that is in the index leaves as much room for others as one that isn't."""
    generation = shared.generation()
    shared.add(generation, {"itself": [0, 1 << 40], "other": [1]})
    found = shared.candidates(generation, [0, 1 << 40], most=1, but="itself")
    assert found == [("other", 1, False)]


def neighbours(number: int) -> list[int]:
    """So many hashes at distance 2 from the centre."""
    pairs = [(a, b) for a in range(64) for b in range(a)]
    return [CENTRE ^ signed(1 << a) ^ signed(1 << b) for a, b in pairs[:number]]


def fill(index: HashIndex, crowd: Pictures) -> None:
    """Add the pictures of a template, and vacuum."""
    index.add(1, crowd)
    index.do("vacuum analyze backfill.image_hash")
    index.do("vacuum analyze backfill.image_hash_owner")


def template(owners: int, around: int) -> Pictures:
    """So many pictures with one hash, amid so many other hashes with ten each."""
    crowd: Pictures = {f"o{i:04}": [CENTRE] for i in range(owners)}
    for n, h in enumerate(neighbours(around)):
        crowd |= {f"n{n:04}-{i}": [h] for i in range(10)}
    return crowd


def test_large_cluster_is_bounded_and_keeps_the_very_hash(index: HashIndex) -> None:
    """Of a template with thousands of pictures come those with the very hash, and a mark."""
    fill(index, template(owners=3000, around=1000))
    found = index.candidates(1, [CENTRE], most=20)
    assert found == [(f"o{i:04}", 0, True) for i in range(20)]
    query = "select * from backfill.image_candidates(1, array[%s]::bigint[], p_most => 20)"
    assert index.buffers(query, CENTRE) < 1000
    asked = batch({f"b{i}": [signed(CENTRE ^ 1 << i)] for i in range(20)})
    query = "select * from backfill.image_candidates_batch(1, %s, p_most => 20)"
    assert len(index.all(query, asked)) == 20 * 20
    assert index.buffers(query, asked) < 1000 * 20


def test_pictures_of_crowded_hashes_are_read_only_as_far_as_needed(index: HashIndex) -> None:
    """A few hashes with thousands of pictures each cost no more than what is returned of them."""
    fill(index, {f"{n}-{i:04}": [h] for n, h in enumerate(neighbours(10)) for i in range(1000)})
    read = """
        select pg_stat_get_xact_tuples_returned(i.indexrelid) from pg_index i
         where i.indrelid = 'backfill.image_hash_owner'::regclass
    """
    with index.connection.transaction():
        before = index.one(read)
        assert len(index.candidates(1, [CENTRE], most=100)) == 100
        assert 100 <= index.one(read) - before < 300


def test_nearest_of_a_large_cluster_are_kept(shared: HashIndex) -> None:
    """Copies within three bits come first, however many look-alikes are further away."""
    random = Random(3)
    crowd: Pictures = {}
    for i in range(3000):
        bits = random.sample(range(64), random.randrange(4, 11))
        crowd[f"far{i}"] = [signed(CENTRE ^ sum(1 << bit for bit in bits))]
    copies = {"0": 0, "1": 1 << 63, "2": 3 << 29, "3": 1 << 47 | 1 << 20 | 1}
    generation = shared.generation()
    shared.add(generation, crowd | {name: [signed(CENTRE ^ bits)] for name, bits in copies.items()})
    found = shared.candidates(generation, [CENTRE], most=30)
    assert [(c.picture, c.distance) for c in found[:4]] == [("0", 0), ("1", 1), ("2", 2), ("3", 3)]
    assert len(found) == 30
    assert all(c.large_cluster for c in found)


def test_hash_between_two_clusters_is_found(index: HashIndex) -> None:
    """A cluster that is cut for one hash of a picture cuts nothing of its other hash's finds."""
    far = signed(~CENTRE)
    fill(index, template(owners=10, around=1000) | {"copy": [far ^ 1]})
    found = index.candidates(1, [CENTRE, far], most=50)
    assert [c.picture for c in found if c.distance == 0] == [f"o{i:04}" for i in range(10)]
    assert found[10] == ("copy", 1, True)


@pytest.mark.parametrize("most", [0, None])
def test_search_for_no_candidates_is_refused(shared: HashIndex, most: int | None) -> None:
    """At most none is an error that says what to do."""
    with pytest.raises(psycopg.errors.InvalidParameterValue) as error:
        shared.all("select * from backfill.image_candidates(1, '{1}', p_most => %s)", most)
    assert error.value.diag.message_hint == "use 1 or more"
