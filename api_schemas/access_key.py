"""Requests, results and promises of access keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from api_schemas.enrolment import LONGEST
from api_schemas.operation import NOTHING, Operation
from api_schemas.shape import Shape

AccountId = Annotated[str, Field(pattern=r"^[0-9]{12}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9+=,.@_-]{1,64}$")]


class CreateAccessKey(Shape):
    """The role and the account that the key shall have: by default the caller's. It expires after so many seconds, or never."""

    role: Literal["admin", "operator", "read-only"]
    name: Name | None = None
    account_id: AccountId | None = None
    expires_in_seconds: Annotated[int, Field(ge=1, le=LONGEST)] | None = None


class AccessKey(Shape):
    """An access key: ``valid``, ``expired`` or ``revoked``. ``last_used_at`` is to the hour."""

    access_key_id: str
    name: str
    role: str
    account_id: str
    status: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


class CreatedAccessKey(Shape):
    """The key, and its secret, which is told this once."""

    access_key: AccessKey
    secret_access_key: str = Field(repr=False)


class DescribeAccessKeys(Shape):
    """Which access keys to show: all, of every account."""


class AccessKeys(Shape):
    """Every access key, the newest first."""

    access_keys: list[AccessKey]


class RevokeAccessKey(Shape):
    """Which access key shall let in nobody any more."""

    access_key_id: str


class AccessKeyResult(Shape):
    """One access key."""

    access_key: AccessKey


CREATE_ACCESS_KEY = Operation("CreateAccessKey", "POST /access-keys", CreateAccessKey, CreatedAccessKey,
                              "Make an access key with a role, for an account.", ours=True, in_engines=NOTHING)  # fmt: skip
DESCRIBE_ACCESS_KEYS = Operation("DescribeAccessKeys", "GET /access-keys", DescribeAccessKeys, AccessKeys,
                                 "Show the access keys, without their secrets.", reads=True, ours=True)  # fmt: skip
REVOKE_ACCESS_KEY = Operation("RevokeAccessKey", "DELETE /access-keys/{access_key_id}", RevokeAccessKey, AccessKeyResult,
                              "Let nobody in with an access key any more.", ours=True, in_engines=NOTHING)  # fmt: skip
