"""A host that wants less is obeyed, and told of to the gate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from runner.errors import Permanent, Retry
from runner.fetch import Client, Limits, Policy
from runner.fetch.outcomes import parse_retry_after
from tests.fetch.tools import SECRET, fetched, outcome
from tests.plugins.picture_host import PictureHost, body, redirect


@pytest.mark.parametrize(
    "path, low, high",
    [("/busy.jpg", 7, 7), ("/busy-until.jpg", 86_400, 86_400), ("/busy-for-how-long.jpg", None, 0)],
)
def test_throttling_is_not_held_against_the_row(
    client: Client, picture_host: PictureHost, path: str, low: float | None, high: float
) -> None:
    """429 is tried again when the server says, and doesn't count as an attempt."""
    error = outcome(client, picture_host.url + path)
    assert isinstance(error, Retry)
    assert (error.code, error.counts) == ("http_429", False)
    assert error.after is None if low is None else low <= (error.after or 0) <= high


def test_maintenance_with_an_end_is_throttling(client: Client, picture_host: PictureHost) -> None:
    """503 with Retry-After waits as asked and isn't held against the row; without it, it is."""
    told = outcome(client, picture_host.url + "/maintenance.jpg")
    assert isinstance(told, Retry)
    assert (told.code, told.after, told.counts) == ("http_503", 60.0, False)
    untold = outcome(client, picture_host.add("/down.jpg", body(b"", 503)))
    assert isinstance(untold, Retry)
    assert (untold.after, untold.counts) == (None, True)


@pytest.mark.parametrize(
    "value, seconds",
    [
        (None, None), ("", None), ("soon", None), ("-5", None), ("12", 12.0), ("1.5", None),
        ("99999999999999", 86_400.0), ("1 Jan 9999 23:59:59 -2359", 86_400.0),
        ("1 Jan 1 00:00:00 +2359", 0.0), ("Mon, 01 Jan 99999 00:00:00 GMT", None),
        ("Wed, 21 Oct 1998 07:28:00 GMT", 0.0), ("²", None),
    ],
)  # fmt: skip
def test_retry_after_is_read_with_care(value: str | None, seconds: float | None) -> None:
    """A server can't ask for more than a day, nor send us back in time, nor confuse us."""
    assert parse_retry_after(value) == seconds


def test_retry_after_may_be_a_date() -> None:
    """A date counts from now."""
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert parse_retry_after(soon) == pytest.approx(90, abs=3)


class Recorder:
    """A gate that writes down what it is told, and may hold up or refuse."""

    def __init__(self, picture_host: PictureHost, wait_s: float = 0.0) -> None:
        self.events: list[tuple[object, ...]] = []
        self.refusal: Retry | None = None
        self._host = picture_host
        self._wait_s = wait_s

    @contextmanager
    def __call__(self, host: str) -> Iterator[None]:
        """Note the number of requests that the host has seen, and how the exchange ended."""
        self.events.append(("enter", host, len(self._host.requests)))
        time.sleep(self._wait_s)
        if self.refusal is not None:
            raise self.refusal
        try:
            yield
        except (Permanent, Retry) as error:
            self.events.append(("failed", host, error.code))
            raise
        self.events.append(("left", host, len(self._host.requests)))

    def throttled(self, host: str, after_s: float | None) -> None:
        """Note it."""
        self.events.append(("throttled", host, after_s))


def test_gate_is_entered_before_each_request(picture_host: PictureHost) -> None:
    """Each hop of a redirect passes the gate for its own host, and leaves it before the next."""
    port = picture_host.server_port
    picture_host.add("/end.jpg", b"there")
    url = picture_host.add("/r.jpg", redirect(f"http://LOCALHOST:{port}/end.jpg"))
    gate = Recorder(picture_host)
    with Client(gate=gate, resolve=lambda *_: ["127.0.0.1"]) as client:
        assert fetched(client, url) == b"there"
    assert gate.events == [
        ("enter", "127.0.0.1", 0),
        ("left", "127.0.0.1", 1),
        ("enter", "localhost", 1),
        ("left", "localhost", 2),
    ]


@pytest.mark.parametrize(
    "path, events",
    [
        ("/busy.jpg", [("throttled", 7.0), ("failed", "http_429")]),
        ("/maintenance.jpg", [("throttled", 60.0), ("failed", "http_503")]),
        ("/busy-for-how-long.jpg", [("throttled", None), ("failed", "http_429")]),
        ("/error.jpg", [("failed", "http_500")]),
        ("/missing.jpg", [("failed", "http_404")]),
        ("/short.jpg", [("failed", "connection")]),
    ],
)
def test_gate_is_told_the_outcome(
    picture_host: PictureHost, path: str, events: list[tuple[object, ...]]
) -> None:
    """Throttling is told as such, however vague; every failure passes through the gate's block."""
    gate = Recorder(picture_host)
    with Client(gate=gate) as client:
        outcome(client, picture_host.url + path)
    assert [(event[0], event[2]) for event in gate.events[1:]] == events


def test_gate_may_refuse(picture_host: PictureHost) -> None:
    """What the gate raises ends the download as it is, and the host isn't asked."""
    gate = Recorder(picture_host)
    gate.refusal = Retry("the host rests", code="rate_limit", after=12.5, counts=False)
    with Client(gate=gate) as client:
        assert outcome(client, picture_host.url + "/a.jpg") is gate.refusal
    assert picture_host.requests == []


def test_waiting_at_the_gate_is_not_the_hosts_time(picture_host: PictureHost) -> None:
    """A download whose turn comes late has its whole deadline left."""
    gate = Recorder(picture_host, wait_s=0.3)
    with Client(gate=gate, limits=Limits(total_s=0.25)) as client:
        assert fetched(client, picture_host.add("/a.jpg", b"x")) == b"x"


def test_refused_url_takes_no_turn(picture_host: PictureHost) -> None:
    """What can be refused without asking anybody doesn't cost a token."""
    gate = Recorder(picture_host)
    with Client(gate=gate, policy=Policy()) as client:
        for host in ("10.0.0.1", "[::1]", "93.184.215.14:22", "public.example:22", "127.1"):
            outcome(client, f"http://{host}/a.jpg?k={SECRET}")
    assert gate.events == []
