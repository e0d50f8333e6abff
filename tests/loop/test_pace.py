"""When a process claims again."""

from __future__ import annotations

import pytest

from runner.loop.pace import LEAST_S, LONGEST_S, Pace


def test_the_first_claim_is_made_at_once() -> None:
    """Whatever the delay, there is nothing to wait for yet."""
    assert Pace(5.0).left(100.0) == 0


def test_a_delay_is_waited_for() -> None:
    """From the claim on, however long its jobs take."""
    pace = Pace(0.0)
    pace.claimed(100.0, 2.0, 1.0)
    assert pace.left(100.5) == 1.5
    assert pace.left(103.0) <= 0


@pytest.mark.parametrize("delay", [0.0, 0.5])
def test_slowed_down_it_takes_so_many_times_longer(delay: float) -> None:
    """What would have been claimed after 1 s is claimed after 4, asked however often."""
    pace = Pace(0.0)
    pace.claimed(100.0, delay, 4.0)
    assert pace.left(101.0) == 3.0
    assert pace.left(102.0) == 2.0
    assert pace.left(104.0) <= 0
    pace.claimed(104.0, delay, 4.0)
    assert pace.left(105.0) == 3.0


def test_no_longer_slowed_down_it_goes_on_at_once() -> None:
    """As soon as a claim says so."""
    pace = Pace(0.0)
    pace.claimed(100.0, 0.0, 4.0)
    pace.claimed(104.0, 0.0, 1.0)
    assert pace.left(104.0) <= 0


def test_waits_have_their_limits() -> None:
    """Claims that would come at once are slowed down, too; a wait is never longer than the most."""
    pace = Pace(0.0)
    pace.claimed(100.0, 0.0, 4.0)
    assert pace.left(100.0) == pytest.approx(4 * LEAST_S)
    pace.claimed(200.0, 0.0, 1000.0)
    assert pace.left(260.0) == LONGEST_S
