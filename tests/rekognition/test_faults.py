"""Injected faults: which calls they hit, what is left behind, and what is billed."""

from __future__ import annotations

import uuid
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.rekognition.calls import index
from tests.rekognition.conftest import connect
from tests.rekognition.faults import Luck
from tests.rekognition.portraits import Face
from tests.rekognition.remote import Remote
from tests.rekognition.settings import Fault

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

ERRORS = {
    "ProvisionedThroughputExceededException": 400,
    "ThrottlingException": 400,
    "InternalServerError": 500,
    "AccessDeniedException": 400,
    "ServiceQuotaExceededException": 400,
    "ImageTooLargeException": 400,
    "InvalidImageFormatException": 400,
    "InvalidParameterException": 400,
    "InvalidS3ObjectException": 400,
    "ResourceNotFoundException": 400,
    "ExpiredTokenException": 400,
}


def fault(code: str, rate: float = 1.0, operation: str = "IndexFaces", **more: Any) -> Any:
    """A fault, as JSON."""
    return {"operation": operation, "code": code, "rate": rate, **more}


def faces(client: RekognitionClient) -> int:
    """How many there are in the collection."""
    return client.describe_collection(CollectionId="people")["FaceCount"]


@pytest.mark.parametrize("code", ERRORS)
def test_an_error_before_the_effect_leaves_nothing(
    client: RekognitionClient, rekognition: Remote, code: str
) -> None:
    """And costs nothing; the SDK has the error as the API's model names it."""
    rekognition.change(faults=[fault(code)])
    with pytest.raises(ClientError) as caught:
        index(client, Face(1))
    told = caught.value.response
    assert told["Error"]["Code"] == code
    assert told["Error"]["Message"]
    assert told["ResponseMetadata"]["HTTPStatusCode"] == ERRORS[code]
    assert faces(client) == 0
    calls = rekognition.calls("IndexFaces")
    assert (calls["failed"], calls["billed"]) == ({code: 1}, 0)


def test_throttling_may_come_as_a_500(client: RekognitionClient, rekognition: Remote) -> None:
    """As the developer guide has it, beside the 400."""
    rekognition.change(faults=[fault("ThrottlingException", status=500)])
    with pytest.raises(client.exceptions.ThrottlingException) as caught:
        index(client, Face(1))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


@pytest.mark.parametrize("when, stored", [("before", 0), ("after", 1)])
def test_a_lost_reply_is_a_closed_connection(
    client: RekognitionClient, rekognition: Remote, when: str, stored: int
) -> None:
    """Lost after the effect, the face is stored and the call billed; before it, neither."""
    rekognition.change(faults=[fault("lost", when=when)])
    with pytest.raises(BotoCoreError, match="Connection was closed"):
        index(client, Face(1))
    assert faces(client) == stored
    calls = rekognition.calls("IndexFaces")
    assert (calls["lost"], calls["billed"], calls["answered"]) == (1, stored, 0)
    assert sum(rekognition.state()["billed_pictures"].values()) == stored


def test_an_error_after_the_effect_costs_nothing(
    client: RekognitionClient, rekognition: Remote
) -> None:
    """The face is stored all the same."""
    rekognition.change(faults=[fault("InternalServerError", when="after")])
    with pytest.raises(client.exceptions.InternalServerError):
        index(client, Face(1))
    assert faces(client) == 1
    assert rekognition.calls("IndexFaces")["billed"] == 0


def test_the_sdk_pays_twice_where_it_may_repeat(
    client: RekognitionClient, rekognition: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost reply that the SDK's own retry makes good is a second charge, and nobody is told."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _seconds: None))
    rekognition.change(faults=[fault("lost", 0.3, when="after")])
    repeating = connect(rekognition.url, attempts=6)
    assert {outcome(repeating, person) for person in range(12)} == {"ok"}
    assert faces(client) == 12
    assert rekognition.calls("IndexFaces")["billed"] > 12


def outcome(client: RekognitionClient, person: int) -> str:
    """How an IndexFaces of this person ends: "ok", an error code, or an exception's name."""
    try:
        index(client, Face(person), name=f"asset:{person}")
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    except BotoCoreError as error:
        return type(error).__name__
    return "ok"


def test_a_run_can_be_repeated(client: RekognitionClient, rekognition: Remote) -> None:
    """The same calls meet the same faults, in whatever order they come; another seed, others."""
    faults = [fault("InternalServerError", 0.3), fault("lost", 0.3, when="after")]

    def run(persons: list[int], seed: int) -> dict[int, str]:
        rekognition.reset()
        client.create_collection(CollectionId="people")
        rekognition.change(faults=faults, seed=seed)
        return {person: outcome(client, person) for person in persons}

    persons = list(range(20))
    first = run(persons, 1)
    assert set(first.values()) == {"ok", "InternalServerError", "ConnectionClosedError"}
    assert run(persons[::-1], 1) == first
    assert run(persons, 2) != first


def test_rates_are_met() -> None:
    """Of many requests each fault gets its share, and the others of `*` theirs."""
    luck = Luck()
    faults = [Fault("IndexFaces", "one", 0.02), Fault("*", "two", 0.1), Fault("Other", "no", 1)]
    hits = [luck.fault(faults, 5, "IndexFaces", uuid.UUID(int=n).bytes) for n in range(20_000)]
    codes = [hit.code for hit in hits if hit is not None]
    assert codes.count("one") == pytest.approx(400, rel=0.2)
    assert codes.count("two") == pytest.approx(2000, rel=0.1)
    assert len(codes) == codes.count("one") + codes.count("two")


def test_a_repetition_has_luck_of_its_own_unless_the_fault_sticks() -> None:
    """A request that failed gets through in the end; with `sticky` it never does."""
    passing, sticking = Fault("*", "passing", 0.5), Fault("*", "sticking", 0.5, sticky=True)
    luck = Luck()
    stuck = []
    for request in (b"a", b"b", b"c", b"d", b"e"):
        tries = [luck.fault([passing], 1, "IndexFaces", request) for _ in range(20)]
        assert None in tries
        assert passing in tries
        stuck.append({luck.fault([sticking], 1, "IndexFaces", request) for _ in range(20)})
    assert {None} in stuck
    assert {sticking} in stuck
    assert all(len(outcomes) == 1 for outcomes in stuck)


def test_every_call_is_accounted_for(client: RekognitionClient, rekognition: Remote) -> None:
    """Each call that arrived was answered, failed or lost, and what was billed was done."""
    rekognition.change(
        tps={"IndexFaces": 25},
        faults=[
            fault("InternalServerError", 0.1),
            fault("lost", 0.1, when="after"),
            fault("lost", 0.1, when="before"),
        ],
    )
    for person in range(40):
        outcome(client, person)
    state = rekognition.state()
    calls = state["calls"]["IndexFaces"]
    assert (
        calls["arrived"] == 40 == calls["answered"] + calls["lost"] + sum(calls["failed"].values())
    )
    assert calls["billed"] == sum(state["billed_pictures"].values())
    stored = {face["ExternalImageId"] for face in state["collections"]["people"]}
    assert stored == set(state["billed_pictures"])
    assert {face["person"] for face in state["collections"]["people"]} == {
        int(name.removeprefix("asset:")) for name in stored
    }
