"""The quota a second, and what the service remembers of who called when."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.rekognition.calls import index, refusal
from tests.rekognition.ledger import Ledger, most_in_any_second
from tests.rekognition.portraits import Face
from tests.rekognition.remote import Remote

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

THROTTLED = ("ProvisionedThroughputExceededException", 400)


def test_a_call_above_the_quota_is_refused() -> None:
    """However the calls lie: no second, wherever it begins, has more than the quota."""
    ledger = Ledger()
    times = [number * 0.03 for number in range(200)]
    let_in = [time for time in times if ledger.admit("IndexFaces", time, 20)]
    assert most_in_any_second(let_in) == 20
    assert len(let_in) == 20 * 6
    told = ledger.as_json()["calls"]["IndexFaces"]
    assert (told["arrived"], told["admitted"]) == (200, 120)
    assert told["most_arrived_in_any_second"] == 34


def test_a_second_begins_anywhere() -> None:
    """The most in any second is found across the clock's seconds; its end isn't in it."""
    assert most_in_any_second([]) == 0
    assert most_in_any_second([0.0, 1.0, 2.0]) == 1
    assert most_in_any_second([0.9, 1.0, 1.1, 1.8, 1.95]) == 4
    assert most_in_any_second([1.8, 0.9, 1.95, 1.0, 1.1]) == 4


def test_operations_have_quotas_of_their_own(
    client: RekognitionClient, rekognition: Remote
) -> None:
    """One that is used up is no other's matter, and a throttled call has no effect."""
    rekognition.change(tps={"*": 50, "IndexFaces": 2, "ListFaces": 0})
    for name in ("a", "b"):
        index(client, Face(1), name=name)
    with pytest.raises(ClientError, match="ProvisionedThroughputExceeded"):
        index(client, Face(1), name="c")
    assert refusal(client.list_faces, CollectionId="people") == THROTTLED
    assert client.describe_collection(CollectionId="people")["FaceCount"] == 2
    calls = rekognition.calls("IndexFaces")
    assert (calls["arrived"], calls["admitted"], calls["billed"]) == (3, 2, 2)
    assert calls["failed"] == {"ProvisionedThroughputExceededException": 1}


def test_the_quota_holds_for_all_connections_together(
    client: RekognitionClient, rekognition: Remote
) -> None:
    """Calls at the same time share it, and each of them is in the log."""
    rekognition.change(tps={"DescribeCollection": 10})

    def describe(_: int) -> bool:
        try:
            client.describe_collection(CollectionId="people")
        except ClientError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        answered = sum(pool.map(describe, range(60)))
    calls = rekognition.calls("DescribeCollection")
    assert calls["most_admitted_in_any_second"] <= 10
    assert calls["answered"] == answered
    assert calls["arrived"] == 60
    log = rekognition.arrivals()["DescribeCollection"]
    assert most_in_any_second(log["arrived"]) == calls["most_arrived_in_any_second"]
    assert len(log["admitted"]) == answered
