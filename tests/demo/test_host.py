"""What the picture host promises to those who ask it over HTTP."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image

from runner.demo import process
from runner.demo.pictures import RETRY_AFTER_SECONDS, SLOW_SECONDS, Kind, Picture, catalogue
from runner.errors import BackfillError

PATIENCE = 10.0


def accepts(port: int) -> bool:
    """Whether somebody listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def falls_silent(port: int) -> bool:
    """Whether nobody listens on the port any more before our patience is at its end."""
    deadline = time.monotonic() + PATIENCE
    while accepts(port) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not accepts(port)


def of_kind(kind: Kind) -> list[Picture]:
    """The catalogue's pictures of a kind."""
    return [p for p in catalogue() if p.kind is kind]


@pytest.mark.parametrize("kind", [Kind.PHOTOGRAPH, Kind.DRAWN, Kind.UNUSUAL])
def test_sound_pictures_are_served_as_pictures(client: httpx.Client, kind: Kind) -> None:
    """A sound picture is answered with 200, its content type, and a file that decodes."""
    for picture in of_kind(kind)[:8]:
        answer = client.get(picture.path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == picture.content_type
        with Image.open(io.BytesIO(answer.content)) as image:
            image.load()


def test_broken_pictures_are_answered_as_claimed(client: httpx.Client) -> None:
    """A broken picture comes with its status, and where that is 200, with its broken bytes."""
    statuses = set()
    for picture in of_kind(Kind.BROKEN):
        answer = client.get(picture.path)
        assert answer.status_code == picture.answer.status
        statuses.add(answer.status_code)
        if answer.status_code == 200:
            assert answer.content == picture.render()
            assert answer.headers["content-type"] == picture.content_type
    assert statuses == {200, 404, 410}


def test_flaky_picture_comes_at_the_second_try(client: httpx.Client) -> None:
    """A flaky picture is answered with 500 once, and with the picture from then on."""
    assert [client.get("/web/flaky-1.jpg").status_code for _ in range(3)] == [500, 200, 200]


def test_busy_picture_asks_to_wait_once(client: httpx.Client) -> None:
    """A busy picture is answered once with 429 and the seconds to wait."""
    first, second = client.get("/web/busy-1.jpg"), client.get("/web/busy-1.jpg")
    assert first.status_code == 429
    assert first.headers["retry-after"] == str(RETRY_AFTER_SECONDS)
    assert second.status_code == 200


def test_copies_are_flaky_each_on_its_own(client: httpx.Client) -> None:
    """The same picture at another address (a query) is another one to the host's memory."""
    targets = ["/web/flaky-2.jpg?copy=2", "/web/flaky-2.jpg?copy=3", "/web/flaky-2.jpg?copy=2"]
    assert [client.get(target).status_code for target in targets] == [500, 500, 200]


def test_slow_picture_keeps_nobody_else_waiting(client: httpx.Client) -> None:
    """A slow picture takes its time, and others are answered meanwhile."""
    client.get("/web/bird-000.jpg")
    started = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client.get, "/web/slow-1.jpg")
        assert client.get("/web/bird-000.jpg").status_code == 200
        assert not slow.done()
        assert slow.result().status_code == 200
    assert time.monotonic() - started >= SLOW_SECONDS


def test_unknown_address_is_404(client: httpx.Client) -> None:
    """What isn't in the catalogue isn't found."""
    assert client.get("/web/nothing.jpg").status_code == 404
    assert client.get("/../pyproject.toml").status_code == 404


def test_head_has_no_body(client: httpx.Client) -> None:
    """HEAD tells type and length of a picture without sending it, and the connection stays good."""
    head, get = client.head("/web/bird-003.jpg"), client.get("/web/bird-003.jpg")
    assert head.content == b""
    assert head.headers["content-length"] == str(len(get.content))


def test_listing_names_every_picture(client: httpx.Client) -> None:
    """The page at / lists all pictures."""
    listed = client.get("/").text.splitlines()
    assert [line.split()[1] for line in listed] == [p.path for p in catalogue()]


def test_many_clients_get_the_same_bytes(host: process.Host) -> None:
    """Clients that ask for one picture at the same moment all get the same file."""
    url = f"{host.base_url}/unsplash/motorcycle-large.jpg"
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: httpx.get(url, trust_env=False, timeout=20), range(16)))
    assert {a.status_code for a in answers} == {200}
    assert len({a.content for a in answers}) == 1


def test_a_chosen_port_is_used() -> None:
    """The host listens on the port that it is given."""
    with process.start() as first:
        port = int(first.base_url.rpartition(":")[2])
    with process.start(port, or_free=False) as second:
        assert second.base_url == first.base_url


def test_a_taken_port_is_an_error_or_a_free_one(host: process.Host) -> None:
    """Where the port is taken, a free one does, unless that port was insisted on."""
    port = int(host.base_url.rpartition(":")[2])
    with process.start(port) as other:
        assert other.base_url != host.base_url
        assert httpx.get(f"{other.base_url}/", trust_env=False).status_code == 200
    with (
        pytest.raises(BackfillError, match=rf"can't listen on 127\.0\.0\.1:{port}: .*in use"),
        process.start(port, or_free=False),
    ):
        pytest.fail("started on a port that is taken")


def test_an_impossible_port_is_an_error() -> None:
    """A number that is no port is refused with the range."""
    with pytest.raises(BackfillError, match="1 to 65535"), process.start(70_000):
        pytest.fail("started on a port that can't be")


def test_host_ends_with_its_context() -> None:
    """When the context is left, nobody listens any more and the process is gone."""
    with process.start() as host:
        port = int(host.base_url.rpartition(":")[2])
        assert accepts(port)
    assert not accepts(port)
    with pytest.raises(ProcessLookupError):
        os.kill(host.pid, 0)


def test_host_ends_with_a_killed_parent() -> None:
    """Where the process that started it is killed with -9, the host ends too."""
    code = (
        "import sys, threading\n"
        "from runner.demo import process\n"
        "with process.start() as host:\n"
        "    print(host.base_url, flush=True)\n"
        "    threading.Event().wait()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline().rpartition(":")[2])
        assert accepts(port)
        parent.send_signal(signal.SIGKILL)
    assert falls_silent(port)


def test_interrupt_ends_the_command_quietly() -> None:
    """Ctrl-C ends `python -m runner.demo.host` with nothing on stderr."""
    with subprocess.Popen(
        [sys.executable, "-m", "runner.demo.host"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline().startswith("serving http://127.0.0.1:")
        command.send_signal(signal.SIGINT)
        _, errors = command.communicate(timeout=PATIENCE)
    assert (command.returncode, errors) == (0, "")


def test_access_log_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    """Requests, refused ones and broken-off ones leave nothing on the terminal."""
    with process.start() as host:
        httpx.get(f"{host.base_url}/web/bird-000.jpg", trust_env=False)
        httpx.get(f"{host.base_url}/nothing?token=secret", trust_env=False)
        address = ("127.0.0.1", int(host.base_url.rpartition(":")[2]))
        with socket.create_connection(address) as connection:
            connection.sendall(b"GET /unsplash/coffee-huge.jpg HTTP/1.1\r\nHost: x\r\n\r\n")
        httpx.get(f"{host.base_url}/unsplash/coffee-huge.jpg", trust_env=False, timeout=20)
    assert capfd.readouterr() == ("", "")


def test_missing_photographs_are_one_clear_line(tmp_path: Path) -> None:
    """Without the package of the photographs the command says what to install."""
    # A finder that hides the package's metadata is what an installation without it looks like.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.metadata as metadata\n"
        "found = metadata.distribution\n"
        "def distribution(name):\n"
        "    if name == 'scikit-image':\n"
        "        raise metadata.PackageNotFoundError(name)\n"
        "    return found(name)\n"
        "metadata.distribution = distribution\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "runner.demo.host"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert "scikit-image isn't installed" in done.stdout
    assert "pgbackfill[demo]" in done.stdout
    assert done.stderr == ""
