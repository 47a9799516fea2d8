"""What boto3 raises, as one of a few kinds of trouble, and as an ArchiveError that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from archives.archive import ArchiveAwayError, ArchiveError, NotInArchiveError


class Trouble(Enum):
    """The kinds of trouble with a bucket that callers tell apart."""

    NO_KEY = "there is no such object"
    NO_BUCKET = "there is no such bucket"
    FORBIDDEN = "access is denied"
    CREDENTIALS = "the credentials are missing or refused"
    ELSEWHERE = "the bucket is in another region"
    TAKEN = "there is such an object already"
    AWAY = "the endpoint does not answer, or only for now"
    OTHER = "anything else"


_BY_CODE = {
    "NoSuchKey": Trouble.NO_KEY,
    "NotFound": Trouble.NO_KEY,
    "NoSuchBucket": Trouble.NO_BUCKET,
    "AccessDenied": Trouble.FORBIDDEN,
    "AllAccessDisabled": Trouble.FORBIDDEN,
    "InvalidAccessKeyId": Trouble.CREDENTIALS,
    "SignatureDoesNotMatch": Trouble.CREDENTIALS,
    "ExpiredToken": Trouble.CREDENTIALS,
    "InvalidToken": Trouble.CREDENTIALS,
    "PermanentRedirect": Trouble.ELSEWHERE,
    "AuthorizationHeaderMalformed": Trouble.ELSEWHERE,
    "PreconditionFailed": Trouble.TAKEN,
    "ConditionalRequestConflict": Trouble.AWAY,
    "RequestTimeout": Trouble.AWAY,
    "SlowDown": Trouble.AWAY,
}

_BY_STATUS = {301: Trouble.ELSEWHERE, 403: Trouble.FORBIDDEN, 404: Trouble.NO_KEY, 412: Trouble.TAKEN, 429: Trouble.AWAY}


@dataclass(frozen=True, slots=True)
class Where:
    """What a call is about, for whoever reads the error."""

    bucket: str
    key: str
    endpoint: str | None

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}" + (f" at {self.endpoint}" if self.endpoint else "")


class S3Error(ArchiveError):
    """An ArchiveError that knows its kind of trouble."""

    def __init__(self, says: str, trouble: Trouble) -> None:
        super().__init__(says)
        self.trouble = trouble


@contextmanager
def s3_errors(doing: str, where: Where) -> Iterator[None]:
    """Raises ArchiveError where boto3 raises something within. The call must have loaded boto3 already."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as why:
        raise as_archive_error(why, doing, where) from why


def trouble_of(why: Exception) -> Trouble:
    """Which kind of trouble an exception of boto3 means."""
    from botocore import exceptions as botocore

    if isinstance(why, botocore.ClientError):
        status = int(why.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return _BY_CODE.get(why.response.get("Error", {}).get("Code", "")) or _by_status(status)
    if isinstance(why, botocore.NoCredentialsError | botocore.PartialCredentialsError | botocore.CredentialRetrievalError):
        return Trouble.CREDENTIALS
    if isinstance(why, botocore.HTTPClientError | botocore.ConnectionError | botocore.IncompleteReadError):
        return Trouble.AWAY
    return Trouble.OTHER


def _by_status(status: int) -> Trouble:
    return Trouble.AWAY if status >= 500 else _BY_STATUS.get(status, Trouble.OTHER)


def as_archive_error(why: Exception, doing: str, where: Where) -> ArchiveError:
    """The error to raise in its place."""
    trouble = trouble_of(why)
    if trouble is Trouble.NO_KEY:
        return NotInArchiveError(f"there is no {where}")
    if trouble is Trouble.AWAY:
        return ArchiveAwayError(f"{doing} {where} was given up, because its endpoint does not answer or is busy ({why}): try again later")
    return S3Error(f"{doing} {where} failed: {_advice(trouble, where)} ({why})", trouble)


def _advice(trouble: Trouble, where: Where) -> str:
    match trouble:
        case Trouble.NO_BUCKET:
            return f"there is no bucket {where.bucket}; create it, or name another"
        case Trouble.FORBIDDEN:
            return f"access to bucket {where.bucket} is denied; let these credentials list, read, write and delete there"
        case Trouble.CREDENTIALS:
            return "the credentials of this process are missing or refused; set AWS_ACCESS_KEY_ID and its secret, or a profile"
        case Trouble.ELSEWHERE:
            return f"bucket {where.bucket} is in another region; name that one in the URL"
        case _:
            return "the endpoint refused it; see what it says"
