"""A bucket: conditions, failures of the service and of the network, and other kinds of services."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from runner.errors import Permanent, Retry
from runner.storage import Storage
from runner.storage.bucket import BucketStorage
from tests.plugins.loopback import Behaviour, Exchange, Request
from tests.storage.places import BucketPlace
from tests.storage.samples import digest_of, path_of, put, read
from tests.storage.service import Fault, Service, failure, hangs_up, says, says_nothing

DATA = b"not really a picture"
HOUR = timedelta(hours=1)


def after_another(bucket: BucketPlace, data: bytes) -> Fault:
    """Somebody else stores these bytes at the object's path just before this request arrives."""

    def fault(request: Request) -> Behaviour:
        bucket.plant(path_of(DATA), data)
        return bucket.service.behaviour(request)

    return fault


def test_another_was_faster(in_bucket: Storage, bucket: BucketPlace) -> None:
    """An upload that is answered 412 has succeeded, since the object is there."""
    bucket.service.fault("PUT", after_another(bucket, DATA))
    assert put(in_bucket, DATA) == (path_of(DATA), False)
    assert len(bucket.service.asked("PUT")) == 1


def test_another_was_faster_and_wrong(in_bucket: Storage, bucket: BucketPlace) -> None:
    """An upload that is answered 412 replaces what is there, if that isn't the same."""
    bucket.service.fault("PUT", after_another(bucket, DATA[::-1]))
    assert put(in_bucket, DATA) == (path_of(DATA), True)
    assert bucket.files() == {path_of(DATA): DATA}


def test_two_at_once(in_bucket: Storage, bucket: BucketPlace) -> None:
    """A conflict of two conditional uploads is settled by uploading without a condition."""
    bucket.service.fault("PUT", says(failure(409, "ConditionalRequestConflict")))
    assert put(in_bucket, DATA).created
    assert bucket.files() == {path_of(DATA): DATA}


def test_what_is_known_is_not_uploaded(in_bucket: Storage, bucket: BucketPlace) -> None:
    """The bytes of a known object don't go over the network again."""
    put(in_bucket, DATA)
    put(in_bucket, DATA)
    assert len(bucket.service.asked("PUT")) == 1


@pytest.mark.parametrize("conditions,asked", [("ignored", 2), ("refused", 3)])
def test_services_without_conditions(
    in_bucket: Storage, bucket: BucketPlace, conditions: str, asked: int
) -> None:
    """Where If-None-Match is ignored or refused, an upload writes the same bytes again."""
    bucket.service.conditions = conditions
    other = b"another"
    assert put(in_bucket, DATA).created
    assert not put(in_bucket, DATA).created
    assert put(in_bucket, other).created
    assert len(bucket.service.asked("PUT")) == asked  # a refusal is remembered
    assert bucket.files() == {path_of(DATA): DATA, path_of(other): other}


def test_without_the_right_to_list(in_bucket: Storage, bucket: BucketPlace) -> None:
    """Where absence looks like a denial, putting works all the same."""
    bucket.service.hides_absence = True
    assert put(in_bucket, DATA).created
    assert not put(in_bucket, DATA).created


def test_etags_need_not_be_digests(in_bucket: Storage, bucket: BucketPlace) -> None:
    """Where the ETag says nothing, the object is read back to check it."""
    bucket.service.etag = '"of-a-service-that-encrypts"'
    assert put(in_bucket, DATA).created
    assert len(bucket.service.asked("GET")) == 1
    bucket.plant(path_of(DATA), DATA[::-1])
    assert put(in_bucket, DATA).created
    assert bucket.files() == {path_of(DATA): DATA}


def test_checksums_of_amazon(bucket: BucketPlace) -> None:
    """On AWS the SHA-256 that the service keeps is sent along and checked, without an ETag."""
    service = bucket.service
    service.etag = '"of-a-bucket-with-keys-of-its-own"'
    service.keeps_checksums = True
    client = boto3.client("s3", endpoint_url=service.url, region_name="us-east-1")
    with BucketStorage(client, bucket.bucket, "pictures", on_aws=True) as storage:
        assert put(storage, DATA).created
        assert not put(storage, DATA).created
    (request,) = service.asked("PUT")
    assert "x-amz-checksum-sha256" in request.headers
    assert service.asked("GET") == []


def test_uploads_carry_their_md5_and_type(in_bucket: Storage, bucket: BucketPlace) -> None:
    """Other services get Content-MD5 and the media type, and no checksum in a trailer."""
    put(in_bucket, DATA)
    (request,) = bucket.service.asked("PUT")
    assert request.headers["content-type"] == "image/jpeg"
    assert request.headers["content-length"] == str(len(DATA))
    assert "content-md5" in request.headers
    assert not [name for name in request.headers if "checksum" in name or "trailer" in name]


def test_spoilt_on_the_way(in_bucket: Storage, bucket: BucketPlace) -> None:
    """Bytes that arrived wrong are noticed, can't be read, and are replaced the next time."""
    bucket.service.spoils = True
    with pytest.raises(Retry, match="differs") as failed:
        put(in_bucket, DATA)
    assert failed.value.code == "storage_mismatch"
    with pytest.raises(Permanent):
        in_bucket.read(path_of(DATA))
    bucket.service.spoils = False
    assert put(in_bucket, DATA).created
    assert read(in_bucket, path_of(DATA)) == DATA


@pytest.mark.parametrize(
    "fault", [says(failure(500, "InternalError")), hangs_up], ids=["HTTP 500", "hung up"]
)
def test_short_trouble_is_not_noticed(
    in_bucket: Storage, bucket: BucketPlace, fault: Fault
) -> None:
    """Two failures in a row of any request are made up for at once."""
    for method in ("HEAD", "PUT"):
        bucket.service.fault(method, fault, times=2)
    assert put(in_bucket, DATA).created
    bucket.service.fault("GET", fault, times=2)
    assert read(in_bucket, path_of(DATA)) == DATA


TROUBLE: dict[str, tuple[Fault, str, bool, float | None]] = {
    "500": (says(failure(500, "InternalError")), "storage_unavailable", True, None),
    "503": (says(failure(503, "ServiceUnavailable")), "storage_unavailable", True, None),
    "504": (says(failure(504, "")), "storage_unavailable", True, None),
    "slow down": (says(failure(503, "SlowDown")), "storage_throttled", False, None),
    "wait": (says(failure(503, "SlowDown", retry_after="7")), "storage_throttled", False, 7.0),
    "429": (says(failure(429, "TooManyRequests")), "storage_throttled", False, None),
    "digest": (says(failure(400, "BadDigest")), "storage_mismatch", True, None),
    "hung up": (hangs_up, "storage_connection", True, None),
    "nonsense": (says((200, {}, b"<p>")), "storage_unavailable", True, None),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_longer_trouble_is_tried_again_later(
    in_bucket: Storage, bucket: BucketPlace, trouble: str
) -> None:
    """A service that keeps failing ends the attempt; being throttled isn't held against the row."""
    fault, code, counts, after = TROUBLE[trouble]
    bucket.service.fault("PUT", fault, times=3)
    with pytest.raises(Retry) as failed:
        put(in_bucket, DATA)
    assert (failed.value.code, failed.value.counts, failed.value.after) == (code, counts, after)
    assert len(bucket.service.asked("PUT")) <= 3
    bucket.service.clear_faults()
    assert put(in_bucket, DATA).created


FINAL: dict[str, tuple[Fault, str, str]] = {
    "denied": (says(failure(403, "AccessDenied")), "storage_denied", "s3:PutObject"),
    "expired": (says(failure(400, "ExpiredToken")), "storage_denied", "credentials"),
    "clock": (says(failure(403, "RequestTimeTooSkewed")), "storage_denied", "clock"),
    "bucket": (says(failure(404, "NoSuchBucket")), "storage_missing", "no such bucket"),
    "region": (says(failure(400, "AuthorizationHeaderMalformed")), "storage_refused", "AWS_REGION"),
    "full": (says(failure(507, "XMinioStorageFull")), "storage_full", "room"),
    "large": (says(failure(400, "EntityTooLarge")), "storage_refused", "EntityTooLarge"),
}


@pytest.mark.parametrize("refusal", FINAL)
def test_refusals_are_final(in_bucket: Storage, bucket: BucketPlace, refusal: str) -> None:
    """What won't pass by itself fails for good, in one line that says what to do."""
    fault, code, words = FINAL[refusal]
    bucket.service.fault("PUT", fault, times=3)
    with pytest.raises(Permanent, match=words) as failed:
        put(in_bucket, DATA)
    assert failed.value.code == code
    assert str(failed.value).startswith(f"s3://{bucket.bucket}/pictures: ")
    assert "\n" not in str(failed.value)


def test_no_answer(bucket: BucketPlace) -> None:
    """A service that says nothing is not waited for without an end."""
    with bucket.open(timeout_s=0.2) as storage:
        bucket.service.fault("PUT", says_nothing(bucket.service), times=3)
        with pytest.raises(Retry) as failed:
            put(storage, DATA)
    assert failed.value.code == "storage_timeout"


def loses_the_answer(service: Service) -> Fault:
    """Do what is asked and close the connection without saying so."""

    def fault(request: Request) -> Behaviour:
        service.forward(request)
        return Exchange.hang_up

    return fault


def test_lost_answers(in_bucket: Storage, bucket: BucketPlace) -> None:
    """An upload whose answer is lost is made again, and is the same object."""
    bucket.service.fault("PUT", loses_the_answer(bucket.service))
    assert put(in_bucket, DATA).path == path_of(DATA)
    assert bucket.files() == {path_of(DATA): DATA}


def test_half_an_answer(in_bucket: Storage, bucket: BucketPlace) -> None:
    """An object that stops arriving half-way is read again later, and isn't taken for damaged."""

    def half(_request: Request) -> Behaviour:
        def answer(exchange: Exchange) -> None:
            exchange.begin(200, {"content-length": str(len(DATA))})
            exchange.wfile.write(DATA[:5])
            exchange.hang_up()

        return answer

    put(in_bucket, DATA)
    bucket.service.fault("GET", half)
    with pytest.raises(Retry) as failed:
        in_bucket.read(path_of(DATA))
    assert failed.value.code == "storage_connection"


def test_secrets_stay_secret(in_bucket: Storage, bucket: BucketPlace) -> None:
    """A service that repeats credentials in its answer doesn't get them into a message."""
    secret = "AKIDSECRET/signature"
    for status in (400, 403, 404, 500):
        bucket.service.fault("GET", says(failure(status, "Odd", f"your key is {secret}")), times=3)
        with pytest.raises((Permanent, Retry)) as failed:
            in_bucket.read(path_of(DATA))
        assert "SECRET" not in str(failed.value)
        bucket.service.clear_faults()


def test_failing_while_listing(
    in_bucket: Storage, bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing that fails half-way says so instead of looking complete."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")
    for number in range(25):
        digest = digest_of(str(number).encode())
        bucket.plant(f"{digest[:2]}/{digest[2:4]}/{digest}", b"")
    listed = in_bucket.list()
    next(listed)
    bucket.service.fault("GET", says(failure(500, "InternalError")), times=3)
    with pytest.raises(Retry):
        list(listed)
    bucket.service.clear_faults()
    assert len(list(in_bucket.list())) == 25


def test_young_objects_are_not_uploaded_again(in_bucket: Storage, bucket: BucketPlace) -> None:
    """Only an object that has grown old is renewed, for which it has to be uploaded."""
    bucket.plant(path_of(DATA), DATA, age=0.9 * HOUR)
    put(in_bucket, DATA)
    assert bucket.service.asked("PUT") == []
    bucket.plant(path_of(DATA), DATA, age=1.1 * HOUR)
    put(in_bucket, DATA)
    assert len(bucket.service.asked("PUT")) == 1


def test_deleting_is_by_age_at_that_moment(in_bucket: Storage, bucket: BucketPlace) -> None:
    """An orphan that was listed as old and put again since then is not deleted."""
    bucket.plant(path_of(DATA), DATA, age=25 * HOUR)
    (listed,) = in_bucket.list()
    put(in_bucket, DATA)
    assert not in_bucket.delete(listed.path, before=datetime.now(UTC) - 24 * HOUR)
    assert in_bucket.exists(listed.path)


def test_many_threads_share_a_storage(in_bucket: Storage, bucket: BucketPlace) -> None:
    """Threads that put different objects don't get in each other's way."""
    objects = {path_of(data): data for data in (f"picture {n}".encode() for n in range(16))}
    failures: list[BaseException] = []

    def run(data: bytes) -> None:
        try:
            put(in_bucket, data)
        except (Permanent, Retry) as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(data,)) for data in objects.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert bucket.files() == objects


@pytest.mark.parametrize("call", ["exists", "read", "delete"])
def test_every_call_tells_of_trouble(in_bucket: Storage, bucket: BucketPlace, call: str) -> None:
    """A denial is never taken for absence by whoever asks for an object."""
    method: Callable[[str], object] = getattr(in_bucket, call)
    for name in ("HEAD", "GET", "DELETE"):
        bucket.service.fault(name, says(failure(403, "AccessDenied")))
    with pytest.raises(Permanent) as failed:
        method(path_of(DATA))
    assert failed.value.code == "storage_denied"
