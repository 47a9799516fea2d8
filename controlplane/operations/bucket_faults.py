"""What fails of a caller's bucket, in the service's words."""

from __future__ import annotations

from collections.abc import Mapping

from api_schemas.faults import InvalidParameterValue, ServiceUnavailable
from archives.buckets import (
    BucketAwayError,
    BucketError,
    NoSuchBucketError,
    NoSuchKeyError,
    NotAccessibleError,
    OutsideRegionError,
)

_SAYS: Mapping[type[BucketError], str] = {
    NoSuchBucketError: "The S3 bucket {bucket} does not exist.",
    OutsideRegionError: "The S3 bucket {bucket} is outside of the region.",
    NotAccessibleError: "ElastiCache has not been granted READ permissions {bucket} on the S3 Bucket.",
    NoSuchKeyError: "The S3 bucket {bucket} does not contain an object with key {key}.",  # the service's own words are not known
}


def fault_of(failed: BucketError) -> InvalidParameterValue | ServiceUnavailable:
    """The fault to raise when buckets were asked and could not be used."""
    if isinstance(failed, BucketAwayError):
        return ServiceUnavailable(f"The S3 bucket {failed.bucket} does not answer; nothing was changed. Try again. It said: {failed}")
    says = _SAYS.get(type(failed))
    return InvalidParameterValue(says.format(bucket=failed.bucket, key=failed.key) if says else f"{failed}.")
