"""The order in which many candidates are compared."""

from __future__ import annotations

import pytest

from runner.similarity import rank
from tests.similarity.conftest import copy, original

CROWD = 24


@pytest.mark.parametrize("kind", ["jpeg 60", "messenger", "crop <= 5 % a side", "crop, resize",
                                  "bar cut, crop, resize"])  # fmt: skip
def test_the_original_comes_early_in_a_crowd_of_one_app(kind: str) -> None:
    """Among receipts of one app, the copy's original is one of the first three."""
    grids = [original("hero", seed).coarse for seed in range(CROWD)]
    for seed in (0, 7):
        order = rank(copy("hero", kind, seed).thumbnail, grids)
        assert order.index(seed) < 3


def test_the_original_comes_early_among_several_apps() -> None:
    """Candidates of other apps and phones don't hide the original."""
    those = [(app, seed, phone) for app in ("hero", "chat", "bank_table")
             for seed in range(4) for phone in (0, 1)]  # fmt: skip
    grids = [original(*one).coarse for one in those]
    for i in (3, 14):
        app, seed, phone = those[i]
        order = rank(copy(app, "crop <= 5 % a side", seed, phone).thumbnail, grids)
        assert order.index(i) < 5


def test_every_candidate_is_ranked_once() -> None:
    """The order has each index once, also for none and for one."""
    grids = [original("hero", seed).coarse for seed in range(CROWD)]
    assert sorted(rank(original("hero").thumbnail, grids)) == list(range(CROWD))
    assert rank(original("hero").thumbnail, grids) == rank(original("hero").thumbnail, grids)
    assert rank(original("hero").thumbnail, []) == []
    assert rank(original("hero").thumbnail, grids[:1]) == [0]


def test_grids_of_another_length_are_refused() -> None:
    """What another version kept can't be ranked."""
    with pytest.raises(ValueError, match="compute them again"):
        rank(original("hero").thumbnail, [original("hero").coarse, b"short"])
