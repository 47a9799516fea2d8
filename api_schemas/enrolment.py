"""Requests, results and promises of join tokens, and of the end of an agent's membership."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from api_schemas.operation import NOTHING, Operation
from api_schemas.shape import Shape

LONGEST = 10 * 365 * 24 * 3600
"""Seconds."""


class CreateJoinToken(Shape):
    """For how many seconds the token shall let agents in; without it, until it is revoked."""

    expires_in_seconds: Annotated[int, Field(ge=1, le=LONGEST)] | None = None


class JoinToken(Shape):
    """A join token: ``valid``, ``expired`` or ``revoked``. Agents that it has let in stay when it lets in nobody any more."""

    join_token_id: str
    status: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class CreatedJoinToken(Shape):
    """The token, and its text: what agents are given. The text is told this once; only a hash of its secret is kept."""

    join_token: JoinToken
    text: str


class DescribeJoinTokens(Shape):
    """Which join tokens to show: all."""


class JoinTokens(Shape):
    """Every join token, the newest first."""

    join_tokens: list[JoinToken]


class RevokeJoinToken(Shape):
    """Which join token shall let in nobody any more."""

    join_token_id: str


class JoinTokenResult(Shape):
    """One join token."""

    join_token: JoinToken


class RemoveAgent(Shape):
    """Which agent to remove; ``lost`` says that its host will never come back, so that it may have nodes."""

    agent: str
    lost: bool = False


class RemovedAgent(Shape):
    """The agent that was removed."""

    agent: str


CREATE_JOIN_TOKEN = Operation("CreateJoinToken", "POST /join-tokens", CreateJoinToken, CreatedJoinToken,
                              "Make a token with which agents of other hosts can join.", ours=True, in_engines=NOTHING)  # fmt: skip
DESCRIBE_JOIN_TOKENS = Operation("DescribeJoinTokens", "GET /join-tokens", DescribeJoinTokens, JoinTokens,
                                 "Show the join tokens, without their secrets.", reads=True, ours=True)  # fmt: skip
REVOKE_JOIN_TOKEN = Operation("RevokeJoinToken", "DELETE /join-tokens/{join_token_id}", RevokeJoinToken, JoinTokenResult,
                              "Let nobody join with a token any more; agents that did stay.", ours=True,
                              in_engines=NOTHING)  # fmt: skip
REMOVE_AGENT = Operation("RemoveAgent", "DELETE /agents/{agent}", RemoveAgent, RemovedAgent,
                         "Refuse an agent's certificate from now on, and give its name free; it must run no nodes.", ours=True,
                         in_engines=NOTHING)  # fmt: skip
