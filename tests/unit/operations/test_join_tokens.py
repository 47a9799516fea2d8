"""Join tokens as callers see them, and the removal of agents."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories import NOW, FixedClock, a_group, an_agent, have

from api_schemas.agent.join_token import JoinToken
from api_schemas.enrolment import CreateJoinToken, DescribeJoinTokens, RemoveAgent, RevokeJoinToken
from api_schemas.faults import AgentNotFound, InvalidParameterValue, JoinTokenNotFound
from controlplane.domain.enrolment import CertifiedAgent
from controlplane.domain.topology import Binary, Placement, Topology
from controlplane.operations.agents import remove_agent
from controlplane.operations.context import Context
from controlplane.operations.join_tokens import create_join_token, describe_join_tokens, revoke_join_token

B = "us-east-1b"


def statuses(ctx: Context) -> dict[str, str]:
    return {token.join_token_id: token.status for token in describe_join_tokens(ctx, DescribeJoinTokens()).join_tokens}


def test_a_token_is_told_once_and_kept_as_a_hash(ctx: Context) -> None:
    made = create_join_token(ctx, CreateJoinToken())
    token = JoinToken.parse(made.text)
    assert (token.id, made.join_token.status, made.join_token.expires_at) == (made.join_token.join_token_id, "valid", None)
    kept = ctx.unit.join_tokens.get(token.id)
    assert kept is not None
    assert token.secret not in repr(kept) + kept.secret_hash
    assert token.secret not in describe_join_tokens(ctx, DescribeJoinTokens()).model_dump_json()


def test_all_tokens_are_pinned_to_the_one_authority(ctx: Context) -> None:
    tokens = [JoinToken.parse(create_join_token(ctx, CreateJoinToken()).text) for _ in range(2)]
    assert tokens[0].pin == tokens[1].pin
    assert tokens[0].secret != tokens[1].secret


def test_a_token_expires(ctx: Context, clock: FixedClock) -> None:
    made = create_join_token(ctx, CreateJoinToken(expires_in_seconds=3600)).join_token
    clock.advance(seconds=3599)
    assert statuses(ctx) == {made.join_token_id: "valid"}
    clock.advance(seconds=1)
    assert statuses(ctx) == {made.join_token_id: "expired"}


def test_a_token_is_revoked_for_good(ctx: Context, clock: FixedClock) -> None:
    made = create_join_token(ctx, CreateJoinToken(expires_in_seconds=10)).join_token
    revoked = revoke_join_token(ctx, RevokeJoinToken(join_token_id=made.join_token_id)).join_token
    assert (revoked.status, revoked.revoked_at) == ("revoked", NOW)
    clock.advance(seconds=60)
    assert revoke_join_token(ctx, RevokeJoinToken(join_token_id=made.join_token_id)).join_token == revoked


def test_an_unknown_token_cannot_be_revoked(ctx: Context) -> None:
    with pytest.raises(JoinTokenNotFound, match="no join token x"):
        revoke_join_token(ctx, RevokeJoinToken(join_token_id="x"))


def joined(ctx: Context) -> None:
    """An agent of another host has joined."""
    ctx.unit.agents.put(an_agent("agent-b", B).model_copy(update={"url": "https://127.0.0.1:1"}))
    ctx.unit.certified_agents.save(CertifiedAgent("agent-b", B, "key", NOW, NOW))


def on_agent_b(topology: Topology) -> Topology:
    node = next(iter(topology.nodes))
    place = Placement("agent-b", "127.102.0.1", Binary("valkey", "9.1.2", "/opt/valkey-server"))
    return topology.with_node(replace(node, placement=place))


def test_a_removed_agent_is_known_no_more_and_its_certificate_holds_no_more(ctx: Context) -> None:
    joined(ctx)
    assert remove_agent(ctx, RemoveAgent(agent="agent-b")).agent == "agent-b"
    assert ctx.unit.agents.get("agent-b") is None
    assert ctx.unit.certified_agents.get("agent-b") is None
    with pytest.raises(AgentNotFound):
        remove_agent(ctx, RemoveAgent(agent="agent-b"))


@pytest.mark.parametrize("used", ["node", "reader"])
def test_an_agent_in_use_is_not_removed(ctx: Context, used: str) -> None:
    joined(ctx)
    group = a_group("orders", nodes=1)
    have(ctx, on_agent_b(group) if used == "node" else replace(group, reader_agent="agent-b"))
    with pytest.raises(InvalidParameterValue, match="in use by orders"):
        remove_agent(ctx, RemoveAgent(agent="agent-b"))
    assert ctx.unit.certified_agents.get("agent-b") is not None


def test_an_agent_that_was_certified_and_never_introduced_itself_can_be_removed(ctx: Context) -> None:
    ctx.unit.certified_agents.save(CertifiedAgent("agent-c", B, "key", NOW, NOW))
    remove_agent(ctx, RemoveAgent(agent="agent-c"))
    assert ctx.unit.certified_agents.get("agent-c") is None


def test_an_agent_inside_the_control_plane_is_not_removed(ctx: Context) -> None:
    ctx.unit.agents.put(an_agent("agent-a", "us-east-1a"))
    with pytest.raises(InvalidParameterValue, match="inside the control plane"):
        remove_agent(ctx, RemoveAgent(agent="agent-a"))
