"""What every operation that creates or deletes a taggable resource does with its tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from api_schemas.faults import InvalidParameterValue, TagQuotaPerResourceExceeded
from api_schemas.parts import Tag
from controlplane.domain import naming
from controlplane.domain.topology import Topology
from controlplane.operations.context import Context

MOST_TAGS, LONGEST_KEY, LONGEST_VALUE = 50, 128, 256


def checked_tags(tags: Sequence[Tag]) -> dict[str, str]:
    """The tags of a request by key.

    Raises InvalidParameterValue for a key or value that is too short or long, is reserved or is given twice, and
    TagQuotaPerResourceExceeded for more than a resource can have.
    """
    checked: dict[str, str] = {}
    for tag in tags:
        _must_be_well_formed(tag)
        if tag.key in checked:
            raise InvalidParameterValue(f"The tag key {tag.key} is given more than once; keys are unique.")
        checked[tag.key] = tag.value
    return within_quota(checked)


def within_quota(tags: dict[str, str]) -> dict[str, str]:
    """The same tags. Raises TagQuotaPerResourceExceeded for more than a resource can have."""
    if len(tags) > MOST_TAGS:
        raise TagQuotaPerResourceExceeded(MOST_TAGS)
    return tags


def tag_new(ctx: Context, arn: str, tags: Sequence[Tag]) -> None:
    """A new resource has these tags and no others, whatever an earlier one of its name had."""
    ctx.unit.tags.put(arn, checked_tags(tags))


def copy_to_members(ctx: Context, group: Topology, members: Iterable[str] | None = None) -> None:
    """New members of a replication group, all of them where none are named, have the group's tags and no others."""
    tags = ctx.unit.tags.of(naming.arn(group.world, "replicationgroup", group.name))
    for arn in member_arns(group) if members is None else [naming.arn(group.world, "cluster", member) for member in members]:
        ctx.unit.tags.put(arn, tags)


def forget_tags(ctx: Context, arn: str) -> None:
    """A resource that is gone has no tags."""
    ctx.unit.tags.put(arn, {})


def member_arns(group: Topology) -> tuple[str, ...]:
    """The ARN of every member of a replication group."""
    return tuple(naming.arn(group.world, "cluster", node.id) for node in group.members)


def as_tags(tags: Mapping[str, str]) -> list[Tag]:
    """Tags as answers show them."""
    return [Tag(key=key, value=value) for key, value in tags.items()]


def _must_be_well_formed(tag: Tag) -> None:
    if not 1 <= len(tag.key) <= LONGEST_KEY:
        raise InvalidParameterValue(f"A tag key has 1 to {LONGEST_KEY} characters; one that was given has {len(tag.key)}.")
    if len(tag.value) > LONGEST_VALUE:
        raise InvalidParameterValue(
            f"The value of the tag {tag.key} has {len(tag.value)} characters; a tag value has 0 to {LONGEST_VALUE}."
        )
    if tag.key.lower().startswith("aws:"):
        raise InvalidParameterValue(f"The tag key {tag.key} is not valid: keys that begin with aws: are reserved.")
