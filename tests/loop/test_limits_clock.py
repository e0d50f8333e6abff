"""The database's clock as a process sees it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.loop.limits_clock import DatabaseClock

DELAYS = st.lists(
    st.tuples(st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 1)), min_size=1, max_size=60
)


@given(ahead=st.floats(-1e6, 1e6), delays=DELAYS)
def test_never_too_early_and_late_by_the_fastest_reply(
    ahead: float, delays: list[tuple[float, float, float]]
) -> None:
    """Whatever the ways there and back take, a time is never mapped to an earlier one, and to a
    later one by no more than the fastest of the latest replies took.
    """
    clock = DatabaseClock()
    now = 1000.0
    backs = []
    for there, back, pause in delays:
        clock.note(now, now + there + back, now + there + ahead)
        backs.append((now + there + back, back))
        now += there + back + pause
    recent = [back for received, back in backs[-32:] if backs[-1][0] - received <= 30]
    error = clock.monotonic(5000.0 + ahead) - 5000.0
    assert -1e-6 <= error <= min(recent) + 1e-6


def test_a_clock_that_was_set_is_believed_at_once() -> None:
    """Where the database's clock jumps, what was known of it before is forgotten."""
    for jump in (3600.0, -3600.0):
        clock = DatabaseClock()
        clock.note(10.0, 10.001, 500.0)
        clock.note(20.0, 20.2, 510.1 + jump)
        assert abs(clock.monotonic(510.1 + jump) - 20.2) < 1e-6
