"""Access keys: make one, show them, revoke one."""

from __future__ import annotations

from datetime import timedelta

from api_schemas.access_key import (
    CREATE_ACCESS_KEY,
    DESCRIBE_ACCESS_KEYS,
    REVOKE_ACCESS_KEY,
    AccessKeyResult,
    AccessKeys,
    CreateAccessKey,
    CreatedAccessKey,
    DescribeAccessKeys,
    RevokeAccessKey,
)
from api_schemas.access_key import AccessKey as Shown
from api_schemas.faults import AccessKeyNotFound, InvalidParameterValue
from controlplane.domain.access_key import AccessKey, Role
from controlplane.operations.context import Context
from controlplane.operations.performs import performs
from controlplane.pki.sealing import SealingError
from controlplane.pki.secret import new_access_key_id, new_access_key_secret


@performs(CREATE_ACCESS_KEY)
def create_access_key(ctx: Context, asked: CreateAccessKey) -> CreatedAccessKey:
    """Make a key; its secret is told in this answer and never again."""
    if ctx.sealer is None:
        raise InvalidParameterValue("This control plane has nothing to seal secrets with, so it cannot keep access keys.")
    key, secret = new_access_key_id(), new_access_key_secret()
    try:
        sealed = ctx.sealer.seal(secret)
    except SealingError as why:
        raise InvalidParameterValue(f"No access key can be made: {why}.") from why
    expires = None if asked.expires_in_seconds is None else ctx.now + timedelta(seconds=asked.expires_in_seconds)
    made = AccessKey(key, asked.account_id or ctx.world.account, Role(asked.role), asked.name or key, sealed, ctx.now, expires)
    ctx.unit.access_keys.add(made)
    return CreatedAccessKey(access_key=_shown(ctx, made), secret_access_key=secret)


@performs(DESCRIBE_ACCESS_KEYS)
def describe_access_keys(ctx: Context, asked: DescribeAccessKeys) -> AccessKeys:
    """Every key, whatever has become of it."""
    return AccessKeys(access_keys=[_shown(ctx, key) for key in ctx.unit.access_keys.all()])


@performs(REVOKE_ACCESS_KEY)
def revoke_access_key(ctx: Context, asked: RevokeAccessKey) -> AccessKeyResult:
    """From now on it lets nobody in. Doing it twice changes nothing."""
    found = ctx.unit.access_keys.get(asked.access_key_id)
    if found is None:
        raise AccessKeyNotFound(asked.access_key_id)
    revoked = found.with_revocation(ctx.now)
    ctx.unit.access_keys.revoke(revoked)
    return AccessKeyResult(access_key=_shown(ctx, revoked))


def _shown(ctx: Context, key: AccessKey) -> Shown:
    return Shown(access_key_id=key.id, name=key.name, role=key.role.value, account_id=key.account, status=key.status(ctx.now),
                 created_at=key.created_at, expires_at=key.expires_at, revoked_at=key.revoked_at, last_used_at=key.last_used)  # fmt: skip
