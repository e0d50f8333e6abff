"""What a run shows on a terminal, and how durations and repeated lines are read and shown."""

from __future__ import annotations

import os
import re
import signal
import sys
from datetime import timedelta
from typing import Any

import click
import pytest

from runner.cli.durations import Duration
from runner.cli.progress import numbers, share
from runner.loop.relay import Relay
from tests.plugins.processes import SampleDatabase
from tests.plugins.terminal import OpenTerminal
from tests.plugins.waiting import wait_until

_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def test_live_bar(sampled: SampleDatabase, terminal: OpenTerminal) -> None:
    """On a terminal a bar shows share, outcomes, times and rate, and goes before the summary."""
    sampled.items(slow=300, fail=5, skip=5)
    shown = terminal(sampled.url, "run", "sample")
    shown.shows("eta ")
    assert shown.ended() == 3
    text = _STYLE.sub("", shown.text)
    assert re.search(r"sample ━.* \d+/310 \(\d+\.\d%\)", text)
    assert re.search(r"  ok \d+  elapsed \S+  avg 5\dms  [\d.]+/s  eta \d+s", text)
    after = text.rpartition("\x1b[2K")[2]
    assert "sample: run 1 is done" in after
    assert "━" not in after
    # the cursor, hidden while the bar is drawn, is shown again
    assert shown.text.rfind("\x1b[?25h") > shown.text.rfind("\x1b[?25l")


def test_bar_says_why_nothing_moves(sampled: SampleDatabase, terminal: OpenTerminal) -> None:
    """A pause is shown with its reason, whatever is in it, and no time left is made up."""
    sampled.items(slow=2000)
    shown = terminal(sampled.url, "run", "sample", "--workers", "2")
    shown.shows("eta ")
    sampled.do("select backfill.pause('sample', 'disk [/bold] full\x1b[31m')")
    shown.shows("paused by postgres: disk [/bold] full\\x1b[31m")
    shown.process.send_signal(signal.SIGINT)
    assert shown.ended() == 130
    assert "stopping 2 processes; interrupt again to leave at once" in shown.text
    assert "run 1 was interrupted" in shown.text


def test_leaving_at_once_restores_the_cursor(
    sampled: SampleDatabase, terminal: OpenTerminal
) -> None:
    """A second Ctrl-C leaves a terminal that can be worked on."""
    sampled.items(wait=4)
    shown = terminal(sampled.url, "run", "sample")
    shown.shows("elapsed")
    # a process without rows in the works is gone at the first one
    wait_until(lambda: sampled.states().get("running"))
    shown.process.send_signal(signal.SIGINT)
    shown.shows("interrupt again to leave at once")
    shown.process.send_signal(signal.SIGINT)
    assert shown.ended(10) == 130
    assert shown.text.rfind("\x1b[?25h") > shown.text.rfind("\x1b[?25l")


def _run(**numbers: Any) -> dict[str, Any]:
    return {
        "found": 1000, "found_exact": True, "processed": 0, "ok": 0, "nothing_found": 0,
        "skipped": 0, "failed": 0, "busy_ms": 0, "elapsed": timedelta(seconds=0.4), **numbers,
    }  # fmt: skip


def test_numbers_in_words() -> None:
    """Share, outcomes, times and rate read well from the first moment to a long run's end."""
    assert share(_run(found=0)) == "0/0"
    assert share(_run(found_exact=False)) == "0/~1,000 (0.0%)"
    assert share(_run(processed=1200)) == "1,200/1,200 (100.0%)"
    assert numbers(_run(), 0.0) == ["ok 0", "elapsed 400ms"]
    run = _run(
        processed=523, ok=480, nothing_found=3, skipped=38, failed=2, busy_ms=62_760,
        elapsed=timedelta(minutes=8, seconds=32),
    )  # fmt: skip
    assert " | ".join(numbers(run, 2.5)) == (
        "ok 480 | nothing found 3 | skipped 38 | failed 2 | elapsed 8m 32s | avg 120ms | 2.5/s"
        " | eta 3m 11s"
    )


@pytest.mark.parametrize(
    "text, seconds",
    [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("500ms", 0.5),
     ("2d", 172_800), ("1M", 60)],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    """Durations are read as people write them."""
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5s", "0", "0s", "5x", "1m2h", "m", "1e3"])
def test_no_durations(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(click.BadParameter, match=r"duration|longer than nothing"):
        Duration().convert(text, None, None)


def test_relay_says_once_what_many_say(capsys: pytest.CaptureFixture[str]) -> None:
    """A line of several processes is passed on once; one that repeats itself is passed on."""
    relay = Relay()
    for words in ("lost it\nmine\n", "lost it\nlost it too\n", "mine\nmine\n"):
        out, into = os.pipe()
        with open(into, "wb") as pipe:  # noqa: PTH123 - a file descriptor
            pipe.write(words.encode())
        relay.follow(open(out, "rb"))  # noqa: PTH123, SIM115 - closed by the relay
        relay.close()
    assert capsys.readouterr().err.splitlines() == ["lost it", "mine", "lost it too"]
    out, into = os.pipe()
    with open(into, "wb") as pipe:  # noqa: PTH123 - a file descriptor
        pipe.write(b"again\nagain\n\xff not text\n no end")
    relay.follow(open(out, "rb"))  # noqa: PTH123, SIM115 - closed by the relay
    relay.close()
    assert capsys.readouterr().err.splitlines() == ["again", "again", "\ufffd not text", " no end"]
    assert sys.stderr is not None
