"""A bucket of an S3-compatible service as storage."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from runner.errors import Permanent, Retry
from runner.storage.bucket_errors import bucket_outcomes, code_of, status_of
from runner.storage.content import CHUNK, check_content, check_media_type, hash_of
from runner.storage.contract import PROBE, Listed, Storage, Stored
from runner.storage.folder_errors import folder_outcomes
from runner.storage.paths import check_prefix, digest_of, is_object_path, object_path

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

RENEWED_AFTER = timedelta(hours=1)
"""`put` uploads an object again that is older, so that it can't be taken for an orphan."""

_KEPT_IN_MEMORY = 4_000_000


@dataclass(frozen=True, slots=True)
class _Upload:
    key: str
    file: IO[bytes]
    size: int
    sha256: bytes
    md5: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class _Found:
    """What HEAD says of an object; `sha256` is in base64, `age` by the service's own clock."""

    size: int
    etag: str
    sha256: str | None
    modified: datetime
    age: timedelta | None


class BucketStorage(Storage):
    """Objects in a bucket below a prefix.

    A single PUT makes an object visible whole or not at all. `on_aws` uses the SHA-256 checksums
    that Amazon keeps with an object; other services are sent Content-MD5, which is older and
    understood by more of them.
    """

    def __init__(self, client: S3Client, bucket: str, prefix: str, *, on_aws: bool) -> None:
        self._client = client
        self._bucket = bucket
        self._root = f"{prefix}/" if prefix else ""
        self._on_aws = on_aws
        self._conditions = True
        self.name = f"s3://{bucket}/{prefix}".rstrip("/")

    def put(
        self, file: IO[bytes], digest: str, size: int, content_type: str, suffix: str
    ) -> Stored:
        """See `Storage`; where the service ignores conditions, two at once both say `created`."""
        path = object_path(digest, suffix)
        check_media_type(content_type)
        md5 = hashlib.md5(usedforsecurity=False)
        check_content(file, digest, size, md5.update)
        key = self._root + path
        upload = _Upload(key, file, size, bytes.fromhex(digest), md5.digest(), content_type)
        with bucket_outcomes(self.name):
            return Stored(path, self._put(upload))

    def _put(self, upload: _Upload) -> bool:
        """Whether it is this upload that brought the object there."""
        # Asked first, since a service that ignores If-None-Match says nothing of what it had.
        found = self._head(upload.key, denied_is_absent=True)
        whole = found is not None and self._is(found, upload)
        if found is not None and whole and found.age is not None and found.age < RENEWED_AFTER:
            return False
        return self._bring(upload, if_absent=found is None) and not whole

    def _bring(self, upload: _Upload, *, if_absent: bool) -> bool:
        """Upload and check what is there then; with `if_absent` it may turn out to be there."""
        sent = self._send(upload, if_absent=if_absent)
        if self._verified(upload):
            return sent
        if not sent:  # what kept us from writing is damaged, or gone again
            self._send(upload, if_absent=False)
            if self._verified(upload):
                return True
        raise Retry(
            f"{self.name}: {upload.key} differs from what was sent", code="storage_mismatch"
        )

    def _send(self, upload: _Upload, *, if_absent: bool) -> bool:
        """Upload; with `if_absent` it may say no because the object is there."""
        checked: dict[str, Any] = (
            {"ChecksumSHA256": b64encode(upload.sha256).decode()}
            if self._on_aws
            else {"ContentMD5": b64encode(upload.md5).decode()}
        )
        if if_absent and self._conditions:
            checked["IfNoneMatch"] = "*"
        upload.file.seek(0)
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=upload.key,
                Body=upload.file,
                ContentLength=upload.size,
                ContentType=upload.content_type,
                **checked,
            )
        except ClientError as error:
            if "IfNoneMatch" not in checked:
                raise
            if status_of(error) == 501:  # some services refuse conditions instead of ignoring them
                self._conditions = False
                return self._send(upload, if_absent=False)
            if status_of(error) == 412 or code_of(error) == "ConditionalRequestConflict":
                return False
            raise
        return True

    def _verified(self, upload: _Upload) -> bool:
        found = self._head(upload.key)
        return found is not None and self._is(found, upload)

    def _is(self, found: _Found, upload: _Upload) -> bool:
        """Whether the stored bytes are the upload's, by the best evidence there is."""
        if found.size != upload.size:
            return False
        if found.sha256 is not None:
            return found.sha256 == b64encode(upload.sha256).decode()
        if found.etag == upload.md5.hex():
            return True
        # An ETag need not be an MD5: encryption with keys of one's own makes it another value.
        with self._download(upload.key) as stored:
            return hash_of(stored)[0] == upload.sha256.hex()

    def _head(self, key: str, *, denied_is_absent: bool = False) -> _Found | None:
        """What the service knows of an object; None where there is none.

        Without the right to list, HEAD on a key that isn't there is answered 403 instead of 404.
        """
        mode: dict[str, Any] = {"ChecksumMode": "ENABLED"} if self._on_aws else {}
        try:
            answer = self._client.head_object(Bucket=self._bucket, Key=key, **mode)
        except ClientError as error:
            if status_of(error) == 404 or (denied_is_absent and status_of(error) == 403):
                return None
            raise
        return _Found(
            size=answer["ContentLength"],
            etag=answer.get("ETag", "").strip('"').lower(),
            sha256=answer.get("ChecksumSHA256"),
            modified=answer["LastModified"],
            age=_age(answer["ResponseMetadata"]["HTTPHeaders"].get("date"), answer["LastModified"]),
        )

    def _download(self, key: str) -> IO[bytes]:
        file = SpooledTemporaryFile(max_size=_KEPT_IN_MEMORY)  # noqa: SIM115 - handed to the caller
        try:
            with closing(self._client.get_object(Bucket=self._bucket, Key=key)["Body"]) as body:
                for chunk in body.iter_chunks(CHUNK):
                    with folder_outcomes("the folder for temporary files"):
                        file.write(chunk)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def exists(self, path: str) -> bool:
        """See `Storage`."""
        digest_of(path)
        with bucket_outcomes(self.name):
            return self._head(self._root + path) is not None

    def read(self, path: str) -> IO[bytes]:
        """See `Storage`."""
        digest = digest_of(path)
        with bucket_outcomes(self.name):
            try:
                file = self._download(self._root + path)
            except ClientError as error:
                if status_of(error) != 404 or code_of(error) == "NoSuchBucket":
                    raise
                raise Permanent(
                    f"{self.name}: there is no object {path}", code="object_missing"
                ) from error
        found, _ = hash_of(file)
        if found != digest:
            file.close()
            raise Permanent(
                f"{self.name}: {path} is damaged: its SHA-256 differs", code="object_damaged"
            )
        return file

    def delete(self, path: str, *, before: datetime | None = None) -> bool:
        """See `Storage`.

        S3 can't delete on condition of an age: what is put again between the look at its age and
        the removal, some milliseconds, is lost.
        """
        digest_of(path)
        with bucket_outcomes(self.name):
            found = self._head(self._root + path)
            if found is None or (before is not None and found.modified >= before):
                return False
            self._client.delete_object(Bucket=self._bucket, Key=self._root + path)
        return True

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """See `Storage`."""
        check_prefix(prefix)
        pages = iter(
            self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._root + prefix
            )
        )
        while True:
            with bucket_outcomes(self.name):
                page = next(pages, None)
            if page is None:
                return
            for item in page.get("Contents", []):
                path = item["Key"].removeprefix(self._root)
                if is_object_path(path):
                    yield Listed(path, item["Size"], item["LastModified"].astimezone(UTC))

    def tidy(self, before: datetime) -> int:
        """See `Storage`; an upload that was broken off leaves nothing."""
        return 0

    def check(self, *, writable: bool) -> None:
        """See `Storage`."""
        with bucket_outcomes(self.name):
            if writable:
                self._probe()
            else:
                self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._root, MaxKeys=1)

    def _probe(self) -> None:
        """Do what `put` does, for which the right to list isn't needed."""
        text = b"Written to see whether this place can be written to.\n"
        md5 = hashlib.md5(text, usedforsecurity=False).digest()
        sha256 = hashlib.sha256(text).digest()
        probe = _Upload(self._root + PROBE, BytesIO(text), len(text), sha256, md5, "text/plain")
        self._bring(probe, if_absent=True)

    def close(self) -> None:
        """See `Storage`."""
        self._client.close()


def _age(date: str | None, modified: datetime) -> timedelta | None:
    """Time since then by the service's own clock, from its Date header; None without one."""
    try:
        now = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return None if now.tzinfo is None else now - modified
