"""Join tokens: make one, show them, revoke one."""

from __future__ import annotations

from datetime import timedelta

from api_schemas.enrolment import (
    CREATE_JOIN_TOKEN,
    DESCRIBE_JOIN_TOKENS,
    REVOKE_JOIN_TOKEN,
    CreatedJoinToken,
    CreateJoinToken,
    DescribeJoinTokens,
    JoinToken,
    JoinTokenResult,
    JoinTokens,
    RevokeJoinToken,
)
from api_schemas.faults import JoinTokenNotFound
from controlplane.domain.enrolment import KeptToken
from controlplane.operations.context import Context
from controlplane.operations.performs import performs


@performs(CREATE_JOIN_TOKEN)
def create_join_token(ctx: Context, asked: CreateJoinToken) -> CreatedJoinToken:
    """Make a token; its text is told in this answer and never again."""
    from controlplane.operations.enrolment import new_token  # the library for it takes long to load, and most never need it

    lasts = None if asked.expires_in_seconds is None else timedelta(seconds=asked.expires_in_seconds)
    token, kept = new_token(ctx.unit, ctx.clock, lasts)
    return CreatedJoinToken(join_token=_shown(ctx, kept), text=token.text)


@performs(DESCRIBE_JOIN_TOKENS)
def describe_join_tokens(ctx: Context, asked: DescribeJoinTokens) -> JoinTokens:
    """Every token, whatever has become of it."""
    return JoinTokens(join_tokens=[_shown(ctx, token) for token in ctx.unit.join_tokens.all()])


@performs(REVOKE_JOIN_TOKEN)
def revoke_join_token(ctx: Context, asked: RevokeJoinToken) -> JoinTokenResult:
    """From now on it lets nobody in. Doing it twice changes nothing."""
    found = ctx.unit.join_tokens.get(asked.join_token_id)
    if found is None:
        raise JoinTokenNotFound(asked.join_token_id)
    revoked = found.with_revocation(ctx.now)
    ctx.unit.join_tokens.save(revoked)
    return JoinTokenResult(join_token=_shown(ctx, revoked))


def _shown(ctx: Context, token: KeptToken) -> JoinToken:
    return JoinToken(join_token_id=token.id, status=token.status(ctx.now), created_at=token.created_at, expires_at=token.expires_at,
                     revoked_at=token.revoked_at)  # fmt: skip
