"""Whatever a server does, a download ends soon, within its limits, with a clear outcome."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from runner import __version__
from runner.errors import Permanent, Retry, RowOutcome, UsageError
from runner.fetch import Base, Client, Limits, redact
from runner.fetch.outcomes import parse_retry_after
from tests.plugins.loopback import LoopbackServer
from tests.plugins.picture_host import PictureHost, body, redirect


@pytest.fixture
def client() -> Iterator[Client]:
    """A client with limits that a test can reach."""
    limits = Limits(max_bytes=1_000_000, total_s=1.0, connect_s=0.5, read_s=0.4)
    with Client(limits=limits) as client:
        yield client


def fetched(client: Client, url: str) -> bytes:
    """The body of a download."""
    with client.get(url) as download:
        return download.file.read()


def outcome(client: Client, url: str) -> Permanent | Retry:
    """What a download that has to fail ends with."""
    with pytest.raises(RowOutcome) as caught, client.get(url):
        pass
    assert isinstance(caught.value, Permanent | Retry)
    assert "\n" not in str(caught.value)
    return caught.value


def test_body_arrives_whole(client: Client, picture_host: PictureHost) -> None:
    """A body larger than what is kept in memory arrives as it was sent."""
    data = bytes(range(256)) * 3_000
    url = picture_host.add("/a.jpg", data)
    with client.get(url) as download:
        assert download.file.read() == data
        assert (download.size, download.url) == (len(data), url)


def test_client_says_who_it_is(client: Client, picture_host: PictureHost) -> None:
    """The User-Agent is ours, with the version, and no compression is asked for."""
    fetched(client, picture_host.add("/a.jpg", b"x"))
    headers = picture_host.requests[0].headers
    assert headers["user-agent"] == f"pgbackfill/{__version__}"
    assert headers["accept-encoding"] == "identity"


def test_environment_is_not_used(
    client: Client, picture_host: PictureHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy in the environment sees nothing."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with Client() as fresh:
        assert fetched(fresh, picture_host.add("/a.jpg", b"x")) == b"x"


@pytest.mark.parametrize(
    "path, kind, code, words",
    [
        ("/missing.jpg", Permanent, "http_404", "HTTP 404 (not found)"),
        ("/gone.jpg", Permanent, "http_410", "HTTP 410 (gone for good)"),
        ("/forbidden.jpg", Permanent, "http_403", "HTTP 403 (it refuses access)"),
        ("/error.jpg", Retry, "http_500", "HTTP 500 (the server failed)"),
        ("/drip.jpg", Retry, "timeout", "not done after 1 seconds"),
        ("/drip-headers.jpg", Retry, "timeout", "not done after 1 seconds"),
        ("/silent.jpg", Retry, "timeout", "no answer in time"),
        ("/endless.jpg", Permanent, "too_large", "larger than the limit of 1,000,000 bytes"),
        ("/gzip-bomb.jpg", Permanent, "too_large", "larger than the limit of 1,000,000 bytes"),
        ("/short.jpg", Retry, "connection", "the connection broke"),
        ("/hang-up.jpg", Retry, "connection", "the connection broke"),
        ("/gzip-cut.jpg", Retry, "incomplete", "the answer ended early"),
        ("/brotli.jpg", Permanent, "content_encoding", "content encoding 'br'"),
        ("/empty.jpg", Permanent, "empty", "the answer is empty (0 bytes)"),
        ("/loop.jpg", Permanent, "redirects", "more than 3 redirects"),
        ("/nowhere.jpg", Permanent, "redirects", "a redirect to nowhere"),
        ("/to-file.jpg", Permanent, "bad_url", "can't download from a file URL"),
    ],
)
def test_bad_answer_has_an_outcome(
    client: Client,
    picture_host: PictureHost,
    path: str,
    kind: type[RowOutcome],
    code: str,
    words: str,
) -> None:
    """Each way to answer badly ends in time, and says what happened in words."""
    began = time.monotonic()
    error = outcome(client, picture_host.url + path)
    assert isinstance(error, kind)
    assert error.code == code
    assert words in str(error)
    assert time.monotonic() - began < 3


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


def test_maintenance_says_when_it_ends(client: Client, picture_host: PictureHost) -> None:
    """503 with Retry-After waits as asked, and counts."""
    error = outcome(client, picture_host.url + "/maintenance.jpg")
    assert isinstance(error, Retry)
    assert (error.code, error.after, error.counts) == ("http_503", 60.0, True)


@pytest.mark.parametrize(
    "value, seconds",
    [
        (None, None), ("", None), ("soon", None), ("-5", None), ("12", 12.0), ("1.5", None),
        ("99999999999999", 86_400.0), ("Wed, 21 Oct 1998 07:28:00 GMT", 0.0), ("²", None),
    ],
)  # fmt: skip
def test_retry_after_is_read_with_care(value: str | None, seconds: float | None) -> None:
    """A server can't ask for more than a day, nor send us back in time, nor confuse us."""
    assert parse_retry_after(value) == seconds


def test_retry_after_may_be_a_date() -> None:
    """A date counts from now."""
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert parse_retry_after(soon) == pytest.approx(90, abs=3)


def test_redirects_are_followed(client: Client, picture_host: PictureHost) -> None:
    """Three redirects, relative or absolute, lead to the picture."""
    picture_host.add("/end.jpg", b"there")
    picture_host.add("/2.jpg", redirect(picture_host.url + "/end.jpg", 308))
    picture_host.add("/1.jpg", redirect("2.jpg", 301))
    assert fetched(client, picture_host.add("/0.jpg", redirect("/1.jpg"))) == b"there"


@pytest.mark.parametrize("target", ["ftp://x/a", "http://u:p@x/a", "http://x:0/a"])
def test_redirect_target_is_checked(client: Client, picture_host: PictureHost, target: str) -> None:
    """A redirect leads to nothing that a row's own URL may not be."""
    error = outcome(client, picture_host.add("/r.jpg", redirect(target)))
    assert error.code == "bad_url"
    assert "u:p" not in str(error)


def test_compressed_body_is_decoded(client: Client, picture_host: PictureHost) -> None:
    """A server that compresses unasked is understood, whatever it calls it."""
    data = b"picture" * 1000
    packed = {"gzip": gzip.compress(data), "deflate": zlib.compress(data)}
    for encoding, sent in packed.items():
        url = picture_host.add("/z.jpg", body(sent, 200, {"Content-Encoding": encoding}))
        assert fetched(client, url) == data


def test_damaged_compression_is_final(client: Client, picture_host: PictureHost) -> None:
    """Data that can't be decompressed is the server's fault and stays so."""
    url = picture_host.add("/z.jpg", body(b"no gzip", 200, {"Content-Encoding": "gzip"}))
    assert outcome(client, url).code == "content_encoding"


def test_stated_length_is_enough_to_refuse(client: Client, picture_host: PictureHost) -> None:
    """A body that is said to be too large is not downloaded."""
    url = picture_host.add("/l.jpg", body(b"", 200, {"Content-Length": "99999999999"}))
    assert outcome(client, url).code == "too_large"


def test_body_at_the_limit_passes(client: Client, picture_host: PictureHost) -> None:
    """The cap is inclusive."""
    assert len(fetched(client, picture_host.add("/m.jpg", bytes(1_000_000)))) == 1_000_000
    assert outcome(client, picture_host.add("/m.jpg", bytes(1_000_001))).code == "too_large"


def test_unknown_host_is_tried_again(client: Client) -> None:
    """A name without an address may be a passing fault of the name service."""
    error = outcome(client, "http://no-such-host.invalid/a.jpg?token=secret")
    assert isinstance(error, Retry)
    assert error.code == "dns"
    assert str(error) == ("http://no-such-host.invalid/a.jpg?...: the host name can't be resolved")


def test_closed_port_is_tried_again(client: Client) -> None:
    """A server that is down may come back."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = outcome(client, f"http://127.0.0.1:{unused.getsockname()[1]}/a.jpg")
    assert isinstance(error, Retry)
    assert error.code == "connection"
    assert "can't connect (connection refused)" in str(error)


def test_https_to_a_plain_server_is_named(client: Client, picture_host: PictureHost) -> None:
    """A server that speaks no TLS ends in words, not in a stack of SSL errors."""
    error = outcome(client, picture_host.url.replace("http", "https") + "/a.jpg")
    assert isinstance(error, Retry)
    assert error.code == "tls"
    assert "no secure connection" in str(error)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_untrusted_certificate_is_final(client: Client, tmp_path: Path) -> None:
    """A certificate that nobody vouches for is refused, in words, and for good."""
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    files = ("-keyout", "key.pem", "-out", "cert.pem")
    subprocess.run([*make.split(), *files], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    host = PictureHost()
    host.socket = context.wrap_socket(host.socket, server_side=True)
    with host.running():
        error = outcome(client, host.url.replace("http", "https") + "/a.jpg")
    assert isinstance(error, Permanent)
    assert error.code == "tls_certificate"
    assert "the server's certificate is not trusted (self-signed certificate)" in str(error)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://example.com/a", "data:image/png;base64,AAAA", "gopher://x",
        "http://", "http://user:secret@example.com/a.jpg", "http://example.com:99999/a",
        "http://[::1/a", "http://example.com:0/", "javascript:alert(1)", "http://\u2028/a", "",
        "http://exa mple.com/a", "http://a\x00b/",
    ],
)  # fmt: skip
def test_unusable_url_is_refused(client: Client, url: str) -> None:
    """Only http and https with a host, a valid port and no password are asked for anything."""
    error = outcome(client, url)
    assert error.code in {"bad_url", "dns"} if " " in url else error.code == "bad_url"
    assert "secret" not in str(error)


def test_odd_characters_are_sent_as_they_are_meant(
    client: Client, picture_host: PictureHost
) -> None:
    """Spaces and letters outside ASCII in a path are encoded once; what is encoded stays."""
    picture_host.add("/a%20b/%C3%A9%2F.jpg", b"x")
    assert fetched(client, picture_host.url + "/a b/é%2F.jpg?q=ü#top") == b"x"
    assert picture_host.requests[0].target == "/a%20b/%C3%A9%2F.jpg?q=%C3%BC"


def test_relative_url_needs_a_base(client: Client) -> None:
    """Without a base the message says what to set."""
    error = outcome(client, "/uploads/a.jpg?sig=secret")
    assert error.code == "no_base_url"
    assert "--base-url" in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize("prefix", ["", "/", "/public", "/public/"])
@pytest.mark.parametrize("url", ["uploads/a.jpg", "/uploads/a.jpg", "./uploads//a.jpg?v=2"])
def test_relative_url_is_appended_to_the_base(
    picture_host: PictureHost, prefix: str, url: str
) -> None:
    """A local upload's URL is appended to the base, with or without a slash between them."""
    path = prefix.rstrip("/") + "/uploads/a.jpg"
    picture_host.add(path, b"upload")
    with Client(base=Base.parse(picture_host.url + prefix)) as client:
        assert fetched(client, url) == b"upload"


def test_local_folder_is_a_base(tmp_path: Path) -> None:
    """Uploads on this machine's disk are read from there."""
    (tmp_path / "up loads").mkdir()
    (tmp_path / "up loads" / "é.jpg").write_bytes(b"local")
    for setting in (str(tmp_path), tmp_path.as_uri()):
        with Client(base=Base.parse(setting)) as client:
            assert fetched(client, "/up%20loads/%C3%A9.jpg?v=1") == b"local"


@pytest.mark.parametrize(
    "url, code",
    [
        ("../secret.txt", "bad_url"), ("/a/../../secret.txt", "bad_url"),
        ("%2e%2e/secret.txt", "bad_url"), ("..%5Csecret.txt", "bad_url"),
        ("link.jpg", "bad_url"), ("a%00.jpg", "bad_url"), ("pipe", "file_not_found"),
        ("", "bad_url"), (".", "file_not_found"), ("none.jpg", "file_not_found"),
        ("a.jpg/b.jpg", "file_not_found"), ("empty.jpg", "empty"), ("large.jpg", "too_large"),
    ],
)  # fmt: skip
def test_local_folder_is_not_left(tmp_path: Path, url: str, code: str) -> None:
    """No URL, encoded or through a symbolic link, reads outside the folder; pipes don't block."""
    (tmp_path / "secret.txt").write_text("secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.jpg").write_bytes(b"x")
    (root / "empty.jpg").touch()
    (root / "large.jpg").write_bytes(bytes(101))
    (root / "link.jpg").symlink_to(tmp_path / "secret.txt")
    os.mkfifo(root / "pipe")
    with Client(base=Base.parse(str(root)), limits=Limits(max_bytes=100)) as client:
        assert outcome(client, url).code == code


@pytest.mark.parametrize("setting", ["/no/such/folder", "ftp://x/", "http://u:p@x/", "x"])
def test_unusable_base_is_a_usage_error(setting: str) -> None:
    """A base that can't work is reported before any row is touched."""
    with pytest.raises(UsageError, match="base URL"):
        Base.parse(setting)


@pytest.mark.parametrize(
    "url, shown",
    [
        ("https://u:p@h.example:8080/a/b.jpg?sig=x#y", "https://h.example:8080/a/b.jpg?..."),
        ("/a.jpg?token=x", "/a.jpg?..."),
        ("data:image/png;base64,AAAA", "data:..."),
        ("http://[::1", "(a malformed URL)"),
    ],
)
def test_shown_url_has_no_secrets(url: str, shown: str) -> None:
    """What is logged of a URL has no password, query or fragment."""
    assert redact(url) == shown


def test_long_url_is_cut() -> None:
    """A URL of any length fits into a message."""
    assert len(redact("http://example.com/" + "a" * 5000)) == 200


def test_address_check_comes_before_the_connection(picture_host: PictureHost) -> None:
    """A refused address is not connected to, and every address of the name was shown."""
    seen = []

    def refuse(host: str, address: str) -> None:
        seen.append((host, address))
        raise Permanent("that address is refused", code="address")

    with Client(check_address=refuse) as client:
        assert outcome(client, f"http://localhost:{picture_host.server_port}/a").code == "address"
    assert seen[0][0] == "localhost"
    assert picture_host.requests == []


def test_threads_share_a_client(picture_host: PictureHost) -> None:
    """Many threads download through one client, each its own body."""
    urls = [picture_host.add(f"/{n}.jpg", b"%d" % n * 50_000) for n in range(20)]
    with Client() as client, ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(lambda url: fetched(client, url), urls * 3))
    assert bodies == [b"%d" % n * 50_000 for n in range(20)] * 3


def test_deadline_holds_for_one_thread_only(picture_host: PictureHost) -> None:
    """One thread's slow download takes no time from another's."""
    slow = Limits(total_s=0.4)
    with Client(limits=slow) as client, ThreadPoolExecutor(2) as pool:
        first = pool.submit(outcome, client, picture_host.url + "/drip.jpg")
        assert first.result().code == "timeout"
        assert fetched(client, picture_host.add("/a.jpg", b"x")) == b"x"


def test_post_returns_the_answer(client: Client, picture_host: PictureHost) -> None:
    """A service gets the body with its headers, and its answer comes back whole."""
    url = picture_host.add("/detect", b"{}")
    assert client.post(url, b"picture", {"X-Test": "1"}) == b"{}"
    request = picture_host.requests[0]
    assert (request.method, request.body, request.headers["x-test"]) == ("POST", b"picture", "1")


def test_no_thread_outlives_the_host() -> None:
    """The host that tests use leaves nothing running, so tests can't disturb each other."""
    before = threading.active_count()
    host: LoopbackServer = PictureHost()
    with host.running(), Client(limits=Limits(total_s=0.2)) as client:
        outcome(client, host.url + "/silent.jpg")
    for thread in threading.enumerate():
        if "process_request_thread" in thread.name:
            thread.join(5)
    assert threading.active_count() <= before
