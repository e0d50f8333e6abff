"""Fixtures of the storage's tests: a folder, and a bucket of an emulated S3 service."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from botocore.loaders import create_loader

from runner.storage import Storage
from runner.storage.bucket import BucketStorage
from runner.storage.connect import connect
from tests.storage.places import BucketPlace, FolderPlace, Place
from tests.storage.service import Service, emulator

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

ACCESS_KEY = "AKIDNOTREALNOTREAL00"
SECRET_KEY = "notreal/notreal+notreal/notreal+notreal0"


@pytest.fixture(scope="package", autouse=True)
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The SDK without the machine's own settings, and without what only takes time.

    It reads its description of S3 once, and doesn't wait between attempts.
    """
    nothing = tmp_path_factory.mktemp("sdk") / "nothing"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PROFILE", "REGION", "DEFAULT_REGION", "ENDPOINT_URL", "ENDPOINT_URL_S3"):
            patch.delenv(f"AWS_{name}", raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        patch.setenv("AWS_CONFIG_FILE", str(nothing))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nothing))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setattr("botocore.session.create_loader", lru_cache(create_loader))
        patch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _seconds: None))
        yield


@pytest.fixture(scope="package")
def s3_proxy() -> Iterator[Service]:
    """A proxy before an S3 emulator."""
    with emulator() as url:
        proxy = Service(url)
        with proxy.running():
            yield proxy


@pytest.fixture(scope="package")
def s3_client(sdk: None, s3_proxy: Service) -> Iterator[S3Client]:
    """A client such as `open_storage` makes, since making one takes longer than most tests."""
    with connect("bucket", "", s3_proxy.url, connections=16, timeout_s=30.0) as storage:
        yield storage._client


@pytest.fixture
def service(s3_proxy: Service) -> Iterator[Service]:
    """The proxy, as good as new."""
    s3_proxy.reset()
    yield s3_proxy
    s3_proxy.reset()


@pytest.fixture
def bucket(service: Service) -> BucketPlace:
    """A prefix in an empty bucket."""
    name = f"test-{uuid4().hex}"
    service.create(name)
    options = {"endpoint_url": service.url}
    return BucketPlace(f"s3://{name}/pictures", options, service=service, bucket=name)


@pytest.fixture
def folder(tmp_path: Path) -> FolderPlace:
    """A folder that doesn't exist yet."""
    return FolderPlace(str(tmp_path / "pictures"))


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest) -> Place:
    """Every kind of place."""
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def storage(place: Place, request: pytest.FixtureRequest) -> Storage:
    """A storage on every kind of place."""
    name = "in_bucket" if isinstance(place, BucketPlace) else "in_folder"
    found: Storage = request.getfixturevalue(name)
    return found


@pytest.fixture
def in_bucket(bucket: BucketPlace, s3_client: S3Client) -> Storage:
    """A storage in a bucket."""
    return BucketStorage(s3_client, bucket.bucket, "pictures", on_aws=False)


@pytest.fixture
def in_folder(folder: FolderPlace) -> Iterator[Storage]:
    """A storage in a folder."""
    with folder.open() as opened:
        yield opened
