"""Where tasks keep files: a local folder or an S3-compatible bucket, addressed by content."""

from runner.storage.contract import ORPHAN_AGE, Listed, Storage, Stored
from runner.storage.opening import open_storage

__all__ = ["ORPHAN_AGE", "Listed", "Storage", "Stored", "open_storage"]
