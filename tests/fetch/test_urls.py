"""What a row's URL stands for, and what of it may be shown."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import Permanent, UsageError
from runner.fetch import Base, Client, Limits, Policy, redact
from runner.fetch.urls import Target
from tests.fetch.tools import fetched, outcome
from tests.plugins.picture_host import PictureHost, redirect


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
    assert error.code == "bad_url"
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


def test_base_is_allowed_and_no_more(picture_host: PictureHost) -> None:
    """The host that an operator names as base needs no allow-list; where it redirects to does."""
    picture_host.add("/a.jpg", b"upload")
    picture_host.add("/r.jpg", redirect("http://127.0.0.1:22/a.jpg"))
    with Client(base=Base.parse(picture_host.url), policy=Policy()) as client:
        assert fetched(client, "/a.jpg") == b"upload"
        assert outcome(client, "/r.jpg").code == "address_refused"


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
        ("http://user:pass/word@h.example/", "(a malformed URL)"),
        ("http://user:pass#word@h.example/", "(a malformed URL)"),
        ("http://h.example/a\x1b[2J\u202eb", "http://h.example/a?[2J?b"),
    ],
)
def test_shown_url_has_no_secrets(url: str, shown: str) -> None:
    """What is logged of a URL has no password, query or fragment."""
    assert redact(url) == shown


def test_long_url_is_cut() -> None:
    """A URL of any length fits into a message."""
    assert len(redact("http://example.com/" + "a" * 5000)) == 200


@pytest.mark.parametrize(
    "url, canonical",
    [
        ("HTTP://Example.COM", "http://example.com/"),
        (" https://example.com:443/a?b#c\n", "https://example.com/a?b"),
        ("http://example.com.:8080/", "http://example.com:8080/"),
        ("http://example.com:/", "http://example.com/"),
        ("http://[2606:4700::0:1]:80/", "http://[2606:4700::1]/"),
        ("http://1.2.3.4/", "http://1.2.3.4/"),
        ("http://a_b.r3---sn-x.example/", "http://a_b.r3---sn-x.example/"),
        ("http://m\u00fcnchen.de/", "http://xn--mnchen-3ya.de/"),
        ("http://XN--Mnchen-3ya.de/", "http://xn--mnchen-3ya.de/"),
        ("http://\u4f8b\u3048.\u30c6\u30b9\u30c8/", "http://xn--r8jz45g.xn--zckzah/"),
        ("http://\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444/", "http://xn--e1afmkfd.xn--p1ai/"),
        ("http://\u0441\u043e\u0440.\u0440\u0444/", "http://xn--n1aeb.xn--p1ai/"),
        ("http://abc\u65e5\u672c.example/", "http://xn--abc-v08fl0d.example/"),
        ("http://h.example?x=http://u:p@y/", "http://h.example/?x=http://u:p@y/"),
        ("http://h.example/@user/%0d%0a", "http://h.example/@user/%0d%0a"),
        ("http://h.example/a\u202eb?\u00e9 '\"", "http://h.example/a%E2%80%AEb?%C3%A9%20'%22"),
    ],
)  # fmt: skip
def test_usable_url_has_one_form(url: str, canonical: str) -> None:
    """What a person means by a URL is what is asked for, whatever its letters' case and script."""
    target = Target.parse(url)
    assert target.url == canonical
    assert Target.parse(canonical) == target


_PIECES = [
    "a", "Z0", "b-c", "x_y", "xn--80a", "127", "1", "0x7f", "0", "[::1]", "[", "]", ".", ".", ":",
    "80", "@", "/", "\\", "?", "#", "%2e", "\u00e9", "\u3002", "\uff0f", "\uff11", "\u0430",
    "\u202e", "\t",
]  # fmt: skip


@settings(max_examples=400)
@given(st.lists(st.sampled_from(_PIECES), max_size=7).map("".join))
def test_no_other_reader_sees_another_host(rest: str) -> None:
    """Every URL that is accepted has the same host for another library, in one form, in ASCII."""
    with suppress(Permanent):
        target = Target.parse(f"http://{rest}")
        assert target.url.isascii()
        assert target.url.isprintable()
        assert Target.parse(target.url) == target
        assert httpx.URL(target.url).raw_host == target.host.encode("ascii")
