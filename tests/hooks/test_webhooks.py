"""Webhooks from end to end: runs, workers' deliverers, and servers that do what servers do."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from runner.database.session import Session
from runner.hooks import deliver
from runner.hooks.deliver import Deliverer
from runner.hooks.send import Attempt, Message, Sender
from tests.hooks.receiver import Receiver, is_signed
from tests.plugins.loopback import Exchange
from tests.plugins.picture_host import body, drip, endless, hang_up, redirect
from tests.plugins.processes import SampleDatabase, StartCommand, StartRun
from tests.plugins.waiting import wait_until

LOOPBACK = "127.0.0.0/8"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """See `Receiver`."""
    server = Receiver()
    with server.running():
        yield server


def add(database: SampleDatabase, receiver: Receiver, *moments: str, name: str = "team") -> str:
    """Let the receiver be told of these moments; the secret."""
    query = "select backfill.set_webhook(%s, %s, %s)"
    return str(database.one(query, name, receiver.address, list(moments)))


@contextmanager
def worker(database: SampleDatabase) -> Iterator[None]:
    """A deliverer at work, as a worker has one."""
    stop = threading.Event()
    deliverer = Deliverer(database.url, allow=LOOPBACK)
    thread = threading.Thread(target=deliverer.work, args=[stop])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def states(database: SampleDatabase) -> list[str]:
    """The deliveries' states, the oldest first."""
    rows = database.all("select state from backfill.deliveries order by created_at")
    return [row["state"] for row in rows]


def test_a_run_tells_webhooks_by_itself(
    sampled: SampleDatabase, run_sample: StartRun, receiver: Receiver
) -> None:
    """With no worker, `backfill run` has told of start, batches and end when it is over."""
    secret = add(sampled, receiver, "before_run", "after_batch", "after_run")
    sampled.items(ok=40, fail=2)
    command = run_sample(sampled, BACKFILL_HOOK_ALLOW=LOOPBACK)
    assert command.ended() == 3
    types = receiver.types()
    assert types[0] == "run.started"
    assert types.count("run.ended") == 1
    assert "batch.finished" in types
    last = next(m["data"] for m in receiver.messages if m["type"] == "run.ended")
    assert (last["ok"], last["failed"], last["exit_reason"]) == (40, 2, "done")
    assert all(is_signed(request, secret) for request in receiver.requests)
    assert all(r.target == "/T0PSECRET?key=HUSH" for r in receiver.requests)
    assert set(states(sampled)) == {"delivered"}
    assert "T0PSECRET" not in command.err + command.out


def test_a_run_is_not_held_up_by_a_server_that_is_away(
    sampled: SampleDatabase, run_sample: StartRun, receiver: Receiver
) -> None:
    """What it could not send is told in a line without the address, and a worker sends it later."""
    add(sampled, receiver, "after_run")
    receiver.answers += [body(b"no", 500), body(b"no", 500)]
    sampled.items(ok=4)
    command = run_sample(sampled, BACKFILL_HOOK_ALLOW=LOOPBACK)
    assert command.ended() == 0
    assert "webhook team: HTTP 500 (the server failed); it is tried again later" in command.err
    assert "T0PSECRET" not in command.err
    assert states(sampled) == ["waiting"]
    receiver.answers.clear()
    sampled.do("update backfill.delivery set due_at = clock_timestamp()")
    with worker(sampled):
        wait_until(lambda: states(sampled) == ["delivered"])
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


def test_who_starts_a_process_says_where_messages_may_go(
    sampled: SampleDatabase, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address in the database that is not of the public internet is never connected to."""
    add(sampled, receiver, "before_run")
    with Session(sampled.url, name="test") as session:
        for allow, error in (("", "refused, since 127.0.0.1 is"), (LOOPBACK, None)):
            sampled.start()
            monkeypatch.setenv("BACKFILL_HOOK_ALLOW", allow)
            with Deliverer(sampled.url) as deliverer:
                (made,) = deliverer.flush(session, 10.0)
            assert (made.error or "").startswith(error or "")
            assert len(receiver.requests) == (error is None)


def test_a_sender_that_is_killed_loses_nothing(
    sampled: SampleDatabase,
    command: StartCommand,
    receiver: Receiver,
) -> None:
    """After kill -9 between the request and its answer another one sends the message again."""
    reached = threading.Event()

    def hold(exchange: Exchange) -> None:
        reached.set()
        exchange.stopping.wait(30)

    add(sampled, receiver, "before_run")
    receiver.answers.append(hold)
    sampled.start()
    killed = command(sampled.url, "hook", "send", BACKFILL_HOOK_ALLOW=LOOPBACK)
    assert reached.wait(30)
    killed.send(signal.SIGKILL)
    killed.ended()
    assert states(sampled) == ["waiting"]
    # as when the time is over for which the message was the dead one's own
    sampled.do("update backfill.delivery set due_at = clock_timestamp()")
    with worker(sampled):
        wait_until(lambda: states(sampled) == ["delivered"])
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_two_workers_send_each_message_once(sampled: SampleDatabase, receiver: Receiver) -> None:
    """However many deliver, a message that its server takes comes once."""
    add(sampled, receiver, "before_run")
    for _ in range(20):
        sampled.start()
    with worker(sampled), worker(sampled):
        wait_until(lambda: states(sampled) == ["delivered"] * 20)
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 20
    assert len(receiver.requests) == 20


def test_a_deliverer_goes_on_after_its_connection_was_cut(
    sampled: SampleDatabase, receiver: Receiver
) -> None:
    """A worker's thread outlives the server's restart."""
    add(sampled, receiver, "before_run")
    query = "select pid from pg_stat_activity where application_name = 'backfill webhooks'"
    with worker(sampled):
        wait_until(lambda: sampled.all(query))
        sampled.all(f"select pg_terminate_backend(pid) from ({query}) p")
        sampled.start()
        wait_until(lambda: states(sampled) == ["delivered"])


# --- one attempt ----------------------------------------------------------------------------------


def attempt(url: str, *, allow: str = LOOPBACK, seconds: float = 5.0) -> Attempt:
    """Send a message there."""
    sender = Sender(allow)
    try:
        return sender.send(Message(url, "msg_1", 1, "v1,x", "{}"), seconds)
    finally:
        sender.close()


@pytest.mark.parametrize("status", [200, 202, 204])
def test_any_2xx_is_taken(receiver: Receiver, status: int) -> None:
    """A server need not answer with a body, or with 200."""
    receiver.answers.append(body(b"", status))
    made = attempt(receiver.address)
    assert (made.status, made.error) == (status, None)


@pytest.mark.parametrize(
    "answer, status, error",
    [
        (body(b"x", 404), 404, "HTTP 404 (not found)"),
        (body(b"x", 410), 410, "HTTP 410 (gone for good)"),
        (body(b"x", 503), 503, "HTTP 503 (the service is unavailable)"),
        (hang_up, None, "the connection broke"),
        (redirect("http://127.0.0.1:1/secret"), 302, "HTTP 302: redirects are not followed"),
    ],
)
def test_what_a_server_refuses_is_told_without_its_address(
    receiver: Receiver, answer: Any, status: int | None, error: str
) -> None:
    """The error says what happened, and nothing that follows the host."""
    receiver.answers.append(answer)
    made = attempt(receiver.address)
    assert made.status == status
    assert made.error is not None
    assert made.error.startswith(error)
    assert "secret" not in made.error.lower()


def test_a_wish_to_wait_is_passed_on(receiver: Receiver) -> None:
    """Retry-After in seconds."""
    receiver.answers.append(body(b"", 429, {"Retry-After": "120"}))
    assert attempt(receiver.address).after == 120


@pytest.mark.parametrize("answer", [drip, endless])
def test_an_answer_without_an_end_holds_nobody_up(receiver: Receiver, answer: Any) -> None:
    """Its status is what counts; of its body little is read, or none."""
    receiver.answers.append(answer)
    made = attempt(receiver.address, seconds=2.0)
    assert (made.status, made.error) == (200, None)
    assert made.milliseconds < 1500


@pytest.mark.parametrize(
    "url, error",
    [
        ("http://127.0.0.1/", "refused, since 127.0.0.1 is"),
        ("http://[::1]/", "refused, since ::1 is"),
        ("http://169.254.169.254/latest/", "refused, since 169.254.169.254 is"),
        ("http://10.1.2.3/", "refused, since 10.1.2.3 is"),
        ("https://x.example:8443/HUSH", "refused, since port 8443 is not 80 or 443"),
        ("https://host.invalid/HUSH", "the host name can't be resolved"),
        ("https://x.example:99999/HUSH", "its address can't be used"),
    ],
)
def test_addresses_that_are_refused(url: str, error: str) -> None:
    """Nothing but the public internet is connected to, unless it is allowed."""
    made = attempt(url, allow="")
    assert made.status is None
    assert made.error is not None
    assert made.error.startswith(error)
    assert "HUSH" not in made.error


def test_where_there_is_no_webhook_nothing_is_begun(
    sampled: SampleDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose end nobody is to be told of has no thread and no HTTP for it."""
    monkeypatch.setattr(deliver, "Deliverer", None)
    with Session(sampled.url, name="test") as session:
        with deliver.delivering(session, sampled.url):
            pass
        deliver.deliver_rest(session, sampled.url)
