"""A picture that is known is asked for only if it has changed."""

from __future__ import annotations

import pytest

from runner.fetch import Client, Download, NotModified, Validators
from tests.plugins.loopback import Exchange
from tests.plugins.picture_host import PictureHost, body, redirect


def test_conditions_are_sent_and_understood(client: Client, picture_host: PictureHost) -> None:
    """A download's validators ask for it only if it has changed, through redirects too."""
    marks = {"ETag": 'W/"v1"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}

    def picture(exchange: Exchange) -> None:
        known = exchange.headers["If-None-Match"] == marks["ETag"]
        exchange.answer(304 if known else 200, b"" if known else b"picture", marks)

    picture_host.add("/a.jpg", picture)
    url = picture_host.add("/r.jpg", redirect("/a.jpg"))
    with client.get(url) as download:
        found = download.validators
    assert (found.etag, found.last_modified) == (marks["ETag"], marks["Last-Modified"])
    again = client.get(url, etag=found.etag, last_modified=found.last_modified)
    assert isinstance(again, NotModified)
    assert (again.url, again.validators) == (picture_host.url + "/a.jpg", found)
    asked = picture_host.requests[-1].headers
    assert asked["if-modified-since"] == marks["Last-Modified"]
    changed = client.get(url, etag='"v0"')
    assert isinstance(changed, Download)
    with changed:
        assert changed.file.read() == b"picture"


def test_bare_304_keeps_the_known_marks(client: Client, picture_host: PictureHost) -> None:
    """A server that says no more than "not modified" doesn't make us forget the validators."""
    known = Validators(etag='"v1"')
    answer = client.get(picture_host.add("/u.jpg", body(b"", 304)), etag=known.etag)
    assert isinstance(answer, NotModified)
    assert answer.validators == known


@pytest.mark.parametrize("mark", ["", "a\r\nX-Injected: 1", "\u00e9", "x" * 501, "a\tb"])
def test_unusable_mark_is_not_sent(client: Client, picture_host: PictureHost, mark: str) -> None:
    """A stored validator can't smuggle a header, and nothing else can break the request."""
    url = picture_host.add("/a.jpg", b"picture")
    answer = client.get(url, etag=mark, last_modified=mark)
    assert isinstance(answer, Download)
    answer.file.close()
    sent = picture_host.requests[0].headers
    assert not {"if-none-match", "if-modified-since", "x-injected"} & set(sent)


def test_unusable_mark_is_not_kept(client: Client, picture_host: PictureHost) -> None:
    """What a server sends as validator is kept only if it could be sent back."""
    with client.get(picture_host.add("/a.jpg", body(b"x", 200, {"ETag": "x" * 501}))) as download:
        assert download.validators == Validators()
