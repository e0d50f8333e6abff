"""Every hash within the radius is found, whatever the hashes, and nothing else."""

from __future__ import annotations

from itertools import product
from random import Random

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.image_hashes.index import BANDS, HashIndex, distance, signed

RADII = range(15)

# Each example takes a generation of its own.
EXAMPLES = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

OTHERS = [signed(Random(i).getrandbits(64)) for i in range(100)]

centres = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=3)


@st.composite
def near(draw: st.DrawFn, around: list[int]) -> int:
    """A hash up to 17 bits from one of these, its flipped bits anywhere or close together."""
    base = draw(st.sampled_from(around))
    low = draw(st.integers(0, 63))
    width = draw(st.sampled_from([8, 17, 24, 64]))
    flips = draw(st.sets(st.integers(0, width - 1), max_size=17))
    for bit in flips:
        base ^= 1 << ((low + bit) % 64)
    return signed(base)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Hashes that are stored, and hashes that are asked for, all around the same few templates."""
    around = draw(centres)
    stored = draw(st.lists(near(around), max_size=40))
    return stored, draw(st.lists(near(around), min_size=1, max_size=4))


def expected(stored: list[int], asked: list[int], radius: int) -> dict[int, dict[int, int]]:
    """By brute force."""
    found = {a: {h: distance(a, h) for h in stored if distance(a, h) <= radius} for a in asked}
    return {a: near for a, near in found.items() if near}


@EXAMPLES
@given(histories(), st.sampled_from(RADII))
def test_search_finds_what_brute_force_finds(
    shared: HashIndex, history: tuple[list[int], list[int]], radius: int
) -> None:
    """Recall and precision are 1 at every radius; other generations' hashes don't show."""
    stored, asked = history
    generation = shared.generation()
    shared.add_hashes(generation, stored)
    found = shared.search(generation, asked, radius)
    assert {a: near for a, (near, _) in found.items()} == expected(stored, asked, radius)
    assert not any(cut for _, cut in found.values())


@pytest.mark.parametrize("radius", RADII)
def test_no_spread_of_the_errors_over_the_bands_is_missed(shared: HashIndex, radius: int) -> None:
    """However as many errors as the radius fall on the four bands, the hash is found."""
    random = Random(radius)
    asked = random.getrandbits(64)
    widths = [width for _, width in BANDS]
    stored = set()
    for errors in product(range(radius + 1), repeat=len(BANDS)):
        if sum(errors) != radius or any(e > w for e, w in zip(errors, widths, strict=True)):
            continue
        flipped = asked
        for number, (low, width) in zip(errors, BANDS, strict=True):
            for bit in random.sample(range(width), number):
                flipped ^= 1 << (low + bit)
        stored.add(signed(flipped))
    generation = shared.generation()
    shared.add_hashes(generation, stored)
    ((near, cut),) = shared.search(generation, [signed(asked)], radius).values()
    assert near == dict.fromkeys(stored, radius)
    assert not cut


@pytest.mark.parametrize("number", [1, 8, 9, 100])
def test_many_are_found_as_each_alone(shared: HashIndex, number: int) -> None:
    """However many hashes are asked for at once, each gets what is near it and nothing else."""
    random = Random(number)
    asked = OTHERS[:number]
    copies = [[signed(h ^ 1 << random.randrange(64)) for _ in range(3)] for h in asked]
    generation = shared.generation()
    stored = [h for near in copies for h in near] + OTHERS[number // 2 :]
    shared.add_hashes(generation, stored)
    found = shared.search(generation, [*asked, asked[0]])
    assert {a: near for a, (near, _) in found.items()} == expected(stored, asked, 10)


@EXAMPLES
@given(histories(), st.sampled_from(RADII), st.integers(1, 12))
def test_cut_search_says_so_and_keeps_the_nearest(
    shared: HashIndex, history: tuple[list[int], list[int]], radius: int, most: int
) -> None:
    """A search is marked as cut exactly when there is more than it may return."""
    stored, asked = history
    generation = shared.generation()
    shared.add_hashes(generation, stored)
    wanted = expected(stored, asked, radius)
    found = shared.search(generation, asked, radius, most)
    assert set(found) == set(wanted)
    for a, (near, cut) in found.items():
        assert cut == (len(wanted[a]) > most)
        assert len(near) == min(len(wanted[a]), most)
        assert near.items() <= wanted[a].items()
        assert (a in near) == (a in stored)
        nearest = {h for h, bits in wanted[a].items() if bits <= 3}
        assert len(nearest) > most or nearest <= near.keys()


def test_generations_never_mix(index: HashIndex) -> None:
    """A hash is found in its own generation only, though another holds the same."""
    index.add(1, {"a": [5]})
    index.add(2, {"b": [5], "c": [7]})
    assert index.search(1, [5]) == {5: ({5: 0}, False)}
    assert [c.picture for c in index.candidates(1, [5])] == ["a"]
    assert [c.picture for c in index.candidates(2, [5])] == ["b", "c"]
    assert index.search(3, [5]) == {}


def test_crowd_of_another_generation_cuts_nothing(shared: HashIndex) -> None:
    """A template's crowd in one generation neither cuts nor marks a search in another."""
    crowded, other = shared.generation(), shared.generation()
    shared.add_hashes(crowded, [signed(a << 32 | b) for a in range(16) for b in range(16)])
    shared.add_hashes(other, [0, 15 << 32])
    assert shared.search(other, [0], most=5) == {0: ({0: 0, 15 << 32: 4}, False)}
    assert all(cut for _, cut in shared.search(crowded, [0], most=5).values())


def test_nothing_asked_is_nothing_found(shared: HashIndex) -> None:
    """No hash and a null in place of a hash are no errors."""
    generation = shared.generation()
    shared.add(generation, {"a": [0]})
    for nothing in ("'{}'", "null"):
        query = f"select * from backfill.image_hash_search(%s, {nothing})"
        assert shared.all(query, generation) == []
        query = f"select * from backfill.image_candidates(%s, {nothing})"
        assert shared.all(query, generation) == []
    assert [c.picture for c in shared.candidates(generation, [None, 1])] == ["a"]


@pytest.mark.parametrize("radius", [-1, 15, None])
def test_radius_that_cannot_be_searched_is_refused(shared: HashIndex, radius: int | None) -> None:
    """A radius without a guarantee is an error that names the range."""
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="can't be searched") as error:
        shared.all("select * from backfill.image_hash_search(1, '{1}', %s)", radius)
    assert error.value.diag.message_hint == "use 0 to 14"
