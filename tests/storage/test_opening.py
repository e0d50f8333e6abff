"""What users may write to name a storage, and what they are told where it can't be used."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from runner.errors import BackfillError, UsageError
from runner.storage import open_storage
from runner.storage.bucket import BucketStorage
from runner.storage.connect import connect
from tests.storage.conftest import ACCESS_KEY, SECRET_KEY
from tests.storage.places import BucketPlace, FolderPlace
from tests.storage.samples import path_of, put, read
from tests.storage.service import failure, says

DATA = b"not really a picture"


def test_a_folder_is_made(folder: FolderPlace) -> None:
    """A folder that is missing is made where it is to be written to."""
    with folder.open() as storage:
        put(storage, DATA)
    assert folder.files() == {path_of(DATA): DATA}


def test_opening_to_read_changes_nothing(folder: FolderPlace, tmp_path: Path) -> None:
    """A storage that is only read is neither made nor written to."""
    with pytest.raises(UsageError, match="no such folder; create it"):
        folder.open(writable=False)
    assert list(tmp_path.iterdir()) == []
    folder.root.mkdir()
    with folder.open(writable=False) as storage:
        assert list(storage.list()) == []
    assert list(folder.root.iterdir()) == []


def test_what_is_not_mounted_is_noticed(tmp_path: Path) -> None:
    """The folder above is not made, since it may be a mount that failed."""
    with pytest.raises(UsageError, match="or mount what it is on"):
        open_storage(str(tmp_path / "mount" / "pictures"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """A file where the folder should be is a usage error."""
    (tmp_path / "pictures").touch()
    with pytest.raises(UsageError, match="something else stands where"):
        open_storage(str(tmp_path / "pictures"))


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to do anything to any file."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("mode,writable", [(0o555, True), (0o000, False)])
def test_a_folder_that_may_not_be_used(mode: int, writable: bool) -> None:
    """A folder without the rights is noticed when it is opened, not with the first object."""
    with tempfile.TemporaryDirectory() as above:
        Path(above).chmod(0o755)
        folder = Path(above, "pictures")
        folder.mkdir()
        folder.chmod(mode)
        with as_nobody(), pytest.raises(UsageError, match="let this process's user") as refused:
            open_storage(str(folder), writable=writable)
        assert str(folder) in str(refused.value)
        folder.chmod(0o755)


def test_file_urls(tmp_path: Path) -> None:
    """A file: URL names a folder, with percent signs decoded."""
    folder = tmp_path / "all my pictures"
    for url in (f"file://{quote(str(folder))}", f"file://localhost{quote(str(folder))}"):
        with open_storage(url) as storage:
            put(storage, DATA)
    with open_storage(str(folder)) as storage:
        assert read(storage, path_of(DATA)) == DATA


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder may be named from the user's home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with open_storage("~/pictures") as storage:
        put(storage, DATA)
    assert (tmp_path / "pictures" / path_of(DATA)).exists()


@pytest.mark.parametrize(
    "url,words",
    [
        ("", "no storage folder is named"),
        ("pictures\0", "no storage folder is named"),
        ("pict\nures", "no storage folder is named"),
        ("file:pictures", "on this machine"),
        ("file://host/pictures", "on this machine"),
        ("file:///pictures?x=1", "on this machine"),
        ("file://[/pictures", "on this machine"),
        ("https://example.org/pictures", "no storage of the kind https"),
        ("gs://bucket", "no storage of the kind gs"),
        ("~nobody-of-that-name/pictures", "home folder is not known"),
        ("s3://", "not a bucket's name"),
        ("s3:///pictures", "not a bucket's name"),
        ("s3://my bucket/pictures", "not a bucket's name"),
        ("s3://bucket/../other", "not a prefix"),
        ("s3://bucket/a//b", "not a prefix"),
        ("s3://bucket/a\nb", "not a prefix"),
    ],
)
def test_what_is_no_storage(url: str, words: str) -> None:
    """Anything else is a usage error that says what to give."""
    with pytest.raises(UsageError, match=words):
        open_storage(url)


@pytest.mark.parametrize(
    "url,endpoint",
    [
        ("s3://key:hunter2@bucket/pictures", None),
        ("s3://bucket/pictures?secret=hunter2", None),
        ("s3://bucket/pictures", "https://key:hunter2@s3.example.org"),
        ("s3://bucket/pictures", "https://s3.example.org/?secret=hunter2"),
        ("s3://bucket/pictures", "hunter2"),
        ("s3://bucket/pictures", "https://[hunter2"),
    ],
)
def test_passwords_are_not_repeated(url: str, endpoint: str | None) -> None:
    """A password where none belongs is refused and not shown."""
    with pytest.raises(UsageError) as refused:
        open_storage(url, endpoint_url=endpoint)
    assert "hunter2" not in str(refused.value)


def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials the message says where they are looked for."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(UsageError, match="set AWS_PROFILE"):
        open_storage("s3://bucket")


def test_an_unknown_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that don't fit are a usage error."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(UsageError, match="check AWS_PROFILE"):
        open_storage("s3://bucket")


def test_no_such_bucket(bucket: BucketPlace) -> None:
    """A bucket that isn't there is a usage error, whether to be read or written."""
    for writable in (True, False):
        with pytest.raises(UsageError, match="no such bucket; create it"):
            open_storage("s3://no-such-bucket", writable=writable, **bucket.options)


def test_a_bucket_that_may_not_be_written(bucket: BucketPlace) -> None:
    """A missing right to write is noticed when the bucket is opened; reading does without."""
    bucket.service.fault("PUT", says(failure(403, "AccessDenied", f"{ACCESS_KEY} {SECRET_KEY}")))
    with pytest.raises(UsageError, match="s3:PutObject") as refused:
        bucket.open()
    assert ACCESS_KEY not in str(refused.value)
    assert SECRET_KEY not in str(refused.value)
    bucket.service.requests.clear()
    bucket.service.fault("PUT", says(failure(403, "AccessDenied")))
    with bucket.open(writable=False) as storage:
        assert list(storage.list()) == []
    assert {request.method for request in bucket.service.requests} == {"GET"}


def test_a_service_that_is_away(bucket: BucketPlace) -> None:
    """A service that can't be reached isn't a usage error: the same command may work later."""
    with pytest.raises(BackfillError, match="later") as failed:
        bucket.open(endpoint_url="http://127.0.0.1:9")
    assert not isinstance(failed.value, UsageError)


def test_the_trial_file_is_mended(bucket: BucketPlace) -> None:
    """A trial file that somebody has changed doesn't keep the storage from opening."""
    bucket.plant(".backfill-check", b"changed")
    for _ in range(2):
        bucket.open().close()


def test_prefixes_may_be_missing(bucket: BucketPlace) -> None:
    """A bucket may be used from its root, and slashes at the end don't count."""
    for url in (f"s3://{bucket.bucket}", f"s3://{bucket.bucket}/"):
        with open_storage(url, **bucket.options) as storage:
            put(storage, DATA)
    assert path_of(DATA) in bucket.service.objects(bucket.bucket)
    assert not [key for key in bucket.service.objects(bucket.bucket) if key.startswith("/")]


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_endpoints_from_the_environment(
    bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Another service may be named by the SDK's own variables; buckets are part of the path."""
    monkeypatch.setenv(variable, bucket.service.url)
    with bucket.open(endpoint_url=None) as storage:
        put(storage, DATA)
    targets = {request.target for request in bucket.service.requests}
    assert all(target.startswith(f"/{bucket.bucket}/pictures/") for target in targets)


@pytest.mark.parametrize(
    "endpoint,on_aws",
    [
        (None, True),
        ("https://s3.eu-central-1.amazonaws.com", True),
        ("https://s3.cn-north-1.amazonaws.com.cn", True),
        ("https://amazonaws.com.example.org", False),
        ("https://project.storage.supabase.co/storage/v1/s3", False),
    ],
)
def test_which_services_are_amazons(endpoint: str | None, on_aws: bool) -> None:
    """Amazon's service is told from others by its host; for those the bucket is in the path."""
    with connect("bucket", "", endpoint, connections=1, timeout_s=1.0) as storage:
        assert isinstance(storage, BucketStorage)
        assert storage._on_aws is on_aws
        link = storage._client.generate_presigned_url(
            "get_object", Params={"Bucket": "bucket", "Key": "key"}
        )
    assert on_aws or link.startswith(f"{endpoint}/bucket/key?")


def test_a_folder_needs_no_sdk() -> None:
    """Opening a folder doesn't import the SDK, which takes longer than everything else."""
    code = (
        "import sys, tempfile; from runner.storage import open_storage\n"
        "with tempfile.TemporaryDirectory() as folder, open_storage(folder): pass\n"
        "print('boto3' in sys.modules)"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert done.stdout == "False\n", done.stderr
