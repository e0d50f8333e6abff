"""Which addresses of a database may be clicked on."""

from __future__ import annotations

import pytest

from runner.pages.links import safe_link


@pytest.mark.parametrize(
    "url, link",
    [
        ("https://files.test/a/b.png", "https://files.test/a/b.png"),
        (" HTTP://Files.test:8080/a.png ", "http://files.test:8080/a.png"),
        ("https://files.test/a.png?token=secret#part", "https://files.test/a.png"),
        ("https://ann:secret@files.test/a.png", "https://files.test/a.png"),
        ("https://[2001:db8::1]:8443/a.png", "https://[2001:db8::1]:8443/a.png"),
    ],
)
def test_web_addresses_lose_what_may_be_secret(url: str, link: str) -> None:
    """User, password, query string and fragment are left out; the rest stays."""
    assert safe_link(url) == link


@pytest.mark.parametrize(
    "url",
    [
        None, "", "/uploads/a.png", "javascript:alert(1)", "java\nscript:alert(1)", "//host/a.png",
        "data:text/html,<script>alert(1)</script>", "file:///etc/passwd", "ftp://host/a.png",
        "https:///a.png", "https://host:port/a.png", "https://[nowhere/a.png",
    ],
)  # fmt: skip
def test_anything_else_is_no_link(url: str | None) -> None:
    """What is not on the web, or is malformed, is never linked to."""
    assert safe_link(url) is None
