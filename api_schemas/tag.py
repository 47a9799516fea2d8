"""Requests, results and promises of tags: labels on a resource that is named by its ARN."""

from __future__ import annotations

from api_schemas.operation import NOTHING, Operation
from api_schemas.parts import Tag
from api_schemas.shape import Shape


class AddTagsToResource(Shape):
    """Which tags a resource shall have besides its own; one of a key that it has takes that one's place."""

    resource_name: str
    tags: list[Tag]


class RemoveTagsFromResource(Shape):
    """Which tags a resource shall lose, by their keys."""

    resource_name: str
    tag_keys: list[str]


class ListTagsForResource(Shape):
    """Of which resource to show the tags."""

    resource_name: str


class TagList(Shape):
    """All tags of a resource."""

    tag_list: list[Tag]


ADD_TAGS_TO_RESOURCE = Operation(
    "AddTagsToResource", "POST /tags", AddTagsToResource, TagList,
    "Add tags to a resource; those of a replication group go to its members as well.",
    in_engines=NOTHING,
)  # fmt: skip
REMOVE_TAGS_FROM_RESOURCE = Operation(
    "RemoveTagsFromResource", "POST /tags/remove", RemoveTagsFromResource, TagList,
    "Remove tags from a resource; from a replication group, also from its members.",
    in_engines=NOTHING,
)  # fmt: skip
LIST_TAGS_FOR_RESOURCE = Operation(
    "ListTagsForResource", "GET /tags", ListTagsForResource, TagList,
    "Show the tags of a resource.",
    reads=True,
)  # fmt: skip
