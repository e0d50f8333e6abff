"""What tests of downloads say often."""

from __future__ import annotations

import pytest

from runner.errors import Permanent, Retry, RowOutcome
from runner.fetch import Client

SECRET = "s3cret"
"""Put into queries and passwords of tests; no message may repeat it."""


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
    assert SECRET not in str(caught.value)
    return caught.value
