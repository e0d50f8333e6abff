"""What the log never shows, and the two forms it has."""

from __future__ import annotations

import json
import logging

import pytest

from runner.cli.logs import configure
from runner.redaction import printable, redact


@pytest.mark.parametrize(
    "text, shown",
    [
        ("at postgresql://me:hush@db:5432/x now", "at postgresql://***@db:5432/x now"),
        (
            "GET https://cdn.test/a.jpg?token=hush&x=1 failed",
            "GET https://cdn.test/a.jpg?*** failed",
        ),
        ("s3://bucket/key?X-Amz-Signature=hush", "s3://bucket/key?***"),
        ("host=db password=hush dbname=x", "host=db password=*** dbname=x"),
        ('{"api_key": "hush"}', '{"api_key": ***}'),
        ("Authorization: Bearer hush", "Authorization: ***"),
        ("https://cdn.test/a.jpg: HTTP 404", "https://cdn.test/a.jpg: HTTP 404"),
        ("mail me@example.test about 12 tokens", "mail me@example.test about 12 tokens"),
        ("unknown: bft_" + "x" * 43, "unknown: bft_***"),
    ],
)
def test_redact(text: str, shown: str) -> None:
    """Passwords, tokens and URLs' queries are taken out; everything else stays."""
    assert redact(text) == shown


def test_printable() -> None:
    """A stranger's bytes can't steer the terminal."""
    assert printable("a\x1b[2Jb\tc\r") == "a\\x1b[2Jb\tc\\x0d"
    assert printable("gpj.\u202etxt") == "gpj.\\u202etxt"


def test_text_is_redacted_in_arguments_and_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    """A secret is found wherever in a record it is."""
    configure(verbose=False, log_format="text")
    log = logging.getLogger("runner.test")
    try:
        raise ValueError("https://cdn.test/a?key=hush")
    except ValueError:
        log.exception("lost %s", "postgresql://me:hush@db/x")
    shown = capsys.readouterr().err
    assert "hush" not in shown
    assert "lost postgresql://***@db/x\n" in shown
    assert "ValueError: https://cdn.test/a?***" in shown


def test_json_is_a_line_a_record(capsys: pytest.CaptureFixture[str]) -> None:
    """With --log-format json each record is one JSON object with time, level and message."""
    configure(verbose=False, log_format="json")
    logging.getLogger("runner.test").info("two\nlines of %s", "a?b")
    logging.getLogger("another.package").info("not shown")
    (line,) = capsys.readouterr().err.splitlines()
    record = json.loads(line)
    assert (record["level"], record["logger"]) == ("info", "runner.test")
    assert record["message"] == "two\nlines of a?b"
    assert record["time"].endswith("+00:00")


@pytest.mark.parametrize("verbose", [True, False])
def test_debug_takes_verbose(capsys: pytest.CaptureFixture[str], verbose: bool) -> None:
    """Our debug messages are shown with --verbose only, and once however often it is set up."""
    configure(verbose=verbose, log_format="text")
    configure(verbose=verbose, log_format="text")
    logging.getLogger("runner.test").debug("detail")
    assert capsys.readouterr().err.count("detail") == verbose
