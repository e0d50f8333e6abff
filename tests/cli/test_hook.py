"""`backfill hook`: adding, changing, trying and dropping webhooks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runner.errors import ExitCode
from tests.cli.conftest import Backfill
from tests.hooks.receiver import Receiver, is_signed
from tests.plugins.picture_host import body
from tests.plugins.processes import SampleDatabase


@pytest.fixture
def hooked(
    sampled: SampleDatabase, backfill: Backfill, monkeypatch: pytest.MonkeyPatch
) -> Backfill:
    """`backfill` on a database with the sample task; it may send to this host."""
    monkeypatch.setenv("DATABASE_URL", sampled.url)
    monkeypatch.setenv("BACKFILL_TASKS", "tests.sample:task")
    monkeypatch.setenv("BACKFILL_HOOK_ALLOW", "127.0.0.0/8")
    return backfill


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """See `Receiver`."""
    server = Receiver()
    with server.running():
        yield server


def test_a_webhook_is_added_tried_changed_and_dropped(
    hooked: Backfill, sampled: SampleDatabase, receiver: Receiver
) -> None:
    """Its secret is printed once, alone on stdout, and its address never."""
    moments = ("--moment", "before-run", "--moment", "after-run")
    ended = hooked("hook", "add", "team", receiver.address, *moments, "--task", "sample")
    assert ended.code == ExitCode.DONE
    secret = ended.out.strip()
    assert secret.startswith("whsec_")
    assert "which is not shown again" in ended.err

    ended = hooked("hook", "test", "team")
    assert (ended.code, ended.out[:15]) == (ExitCode.DONE, "team: HTTP 204 ")
    (request,) = receiver.requests
    assert is_signed(request, secret)
    assert receiver.types() == ["test"]

    ended = hooked("hook", "set", "team", "--moment", "after-batch", "--disable")
    assert ended.out == f"team is set: {receiver.url}/..., after-batch, off\n"
    listed = hooked("hook", "list")
    assert "after-batch" in listed.out
    (row,) = hooked("hook", "list", "--json").json
    assert (row["name"], row["task"], row["enabled"]) == ("team", "sample", False)

    ended = hooked("hook", "log", "team", "--json")
    assert [(row["moment"], row["state"]) for row in ended.json] == [("test", "delivered")]
    assert "204" in hooked("hook", "log").out
    assert hooked("hook", "rotate", "team").out.startswith("whsec_")
    assert hooked("hook", "drop", "team").out == "team is dropped\n"
    assert hooked("hook", "list").err == "there is no webhook; see: backfill hook add --help\n"
    assert not sampled.all("select from backfill.webhook")


def test_an_address_is_read_from_stdin(hooked: Backfill, sampled: SampleDatabase) -> None:
    """An address that is a secret need not stand in a command, where `ps` shows it."""
    ended = hooked("hook", "add", "team", "-", answer="https://x.example/HUSH\n")
    assert ended.code == ExitCode.DONE
    assert sampled.one("select url from backfill.webhook") == "https://x.example/HUSH"
    assert "HUSH" not in ended.out + ended.err


def test_a_test_that_fails_says_why(hooked: Backfill, receiver: Receiver) -> None:
    """With an exit code, in one line, and it is not tried again."""
    hooked("hook", "add", "team", receiver.address)
    receiver.answers.append(body(b"", 403))
    ended = hooked("hook", "test", "team")
    assert ended.code == ExitCode.ERROR
    assert ended.err.endswith("backfill: webhook team: HTTP 403 (it refuses access)\n")
    assert hooked("hook", "send").out == "0 messages sent\n"


def test_what_is_due_is_sent_from_cron(
    hooked: Backfill, sampled: SampleDatabase, receiver: Receiver
) -> None:
    """Where no worker is running, a command sends what waits, and says how much of it."""
    hooked("hook", "add", "a", receiver.address, "--moment", "before-run")
    hooked("hook", "add", "b", receiver.url + "/b", "--moment", "before-run")
    for _ in range(3):
        sampled.start()
    receiver.answers += [body(b"", 500)]
    assert hooked("hook", "send").out == "5 messages sent, 1 to be tried again\n"


MISTAKES = [
    (("add", "team", "https://x.example/"), "there is a webhook team; change it with"),
    (("add", "Team", "https://x.example/"), "this is the rule: webhook name is a word"),
    (("add", "x", "gopher://x.example/"), "this is the rule: webhook url is http"),
    (("add", "x", "https://x.example/", "--task", "none"), "none"),
    (("set", "none", "--disable"), "there is no webhook named 'none'"),
    (("set", "none", "--url", "https://x.example/"), "add it with: backfill hook add none"),
    (("drop", "none"), "there is no webhook named 'none'; there are: team"),
    (("test", "none"), "there is no webhook named 'none'"),
    (("rotate", "none"), "there is no webhook named 'none'"),
]


def test_mistakes_are_told_in_a_line(hooked: Backfill, sampled: SampleDatabase) -> None:
    """Each is the user's to mend, and nothing was changed."""
    hooked("hook", "add", "team", "https://x.example/HUSH")
    for arguments, said in MISTAKES:
        ended = hooked("hook", *arguments)
        assert ended.code == ExitCode.USAGE, arguments
        assert said in ended.err
        assert "HUSH" not in ended.err
    assert sampled.one("select string_agg(name, ' ') from backfill.webhook") == "team"


def test_a_list_of_networks_that_cannot_be_read_is_told(
    hooked: Backfill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent."""
    hooked("hook", "add", "team", "https://x.example/")
    monkeypatch.setenv("BACKFILL_HOOK_ALLOW", "10.0.0.0/99")
    ended = hooked("hook", "test", "team")
    assert ended.code == ExitCode.USAGE
    assert "allow-list entry '10.0.0.0/99'" in ended.err
