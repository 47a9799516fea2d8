"""Requests, results and promises of a user group: users that may come in to the same caches."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from api_schemas.operation import NOTHING, Operation, Subject
from api_schemas.paging import Paged
from api_schemas.parts import Tag
from api_schemas.shape import Aws, Shape

USER_GROUP = "user-group"


class CreateUserGroup(Shape):
    """Which users a new user group has. One of engine redis needs a user named ``default`` among them."""

    user_group_id: str
    engine: str
    user_ids: list[str] = Field(default_factory=list)
    tags: list[Tag] = Field(default_factory=list)


class ModifyUserGroup(Shape):
    """Which users shall come and which shall go."""

    user_group_id: str
    user_ids_to_add: list[str] = Field(default_factory=list)
    user_ids_to_remove: list[str] = Field(default_factory=list)
    engine: str | None = None


class DeleteUserGroup(Shape):
    """Which user group shall go."""

    user_group_id: str


class DescribeUserGroups(Paged):
    """Which user groups to show: one by id, or all."""

    user_group_id: str | None = None


class UserGroupPendingChanges(Shape):
    """Which users come and go while not every node knows yet."""

    user_ids_to_remove: list[str] = Field(default_factory=list)
    user_ids_to_add: list[str] = Field(default_factory=list)


class UserGroup(Shape):
    """A user group as it is, and the replication groups that it guards."""

    user_group_id: str
    status: str
    engine: str
    user_ids: list[str] = Field(default_factory=list)
    minimum_engine_version: str
    pending_changes: UserGroupPendingChanges | None = None
    replication_groups: list[str] = Field(default_factory=list)
    arn: Annotated[str, Aws("ARN")]


class UserGroups(Shape):
    """A page of user groups."""

    user_groups: list[UserGroup]
    marker: str | None = None


CREATE_USER_GROUP = Operation(
    "CreateUserGroup", "POST /user-groups", CreateUserGroup, UserGroup,
    "Create a user group. Replication groups name it to be guarded by it.",
    Subject(USER_GROUP, "user_group_id"),
    in_engines=NOTHING,
)  # fmt: skip
DESCRIBE_USER_GROUPS = Operation(
    "DescribeUserGroups", "GET /user-groups", DescribeUserGroups, UserGroups,
    "Show one user group, or all.",
    Subject(USER_GROUP, "user_group_id"), reads=True,
)  # fmt: skip
MODIFY_USER_GROUP = Operation(
    "ModifyUserGroup", "PATCH /user-groups/{user_group_id}", ModifyUserGroup, UserGroup,
    "Add users to a user group and remove others, on every cache that it guards.",
    Subject(USER_GROUP, "user_group_id"),
    in_engines="ACL SETUSER and ACL DELUSER on every node of every group that it guards.",
)  # fmt: skip
DELETE_USER_GROUP = Operation(
    "DeleteUserGroup", "DELETE /user-groups/{user_group_id}", DeleteUserGroup, UserGroup,
    "Delete a user group that guards no cache. Its users stay.",
    Subject(USER_GROUP, "user_group_id"),
    in_engines=NOTHING,
)  # fmt: skip
