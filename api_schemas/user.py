"""Requests, results and promises of a user: somebody who may come in to caches, by which passwords, and to do what."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from api_schemas.operation import NOTHING, Operation, Subject
from api_schemas.paging import Paged
from api_schemas.parts import Tag
from api_schemas.shape import Aws, Shape

USER = "user"

Secrets = Annotated[list[str], Field(repr=False)]


class AuthenticationMode(Shape):
    """How a user proves who it is: ``password`` with one or two, ``no-password-required``, or ``iam``, which is not built."""

    type: str | None = None
    passwords: Secrets = Field(default_factory=list)


class Filter(Shape):
    """Only what has one of the values. In a URL it is written as ``user-name=alice,bob``."""

    name: str
    values: list[str]

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        name, _, values = given.partition("=")
        return {"name": name, "values": values.split(",") if values else []}


class CreateUser(Shape):
    """Who a new user is, and what it may do."""

    user_id: str
    user_name: str
    engine: str
    passwords: Secrets = Field(default_factory=list)
    access_string: str
    no_password_required: bool | None = None
    tags: list[Tag] = Field(default_factory=list)
    authentication_mode: AuthenticationMode | None = None


class ModifyUser(Shape):
    """What shall change of a user; what is left out stays. What is appended to an access string comes after what it is."""

    user_id: str
    access_string: str | None = None
    append_access_string: str | None = None
    passwords: Secrets = Field(default_factory=list)
    no_password_required: bool | None = None
    authentication_mode: AuthenticationMode | None = None
    engine: str | None = None


class DeleteUser(Shape):
    """Which user shall go."""

    user_id: str


class DescribeUsers(Paged):
    """Which users to show: one by id, those of an engine or that filters let through, or all."""

    engine: str | None = None
    user_id: str | None = None
    filters: list[Filter] = Field(default_factory=list)


class Authentication(Shape):
    """How a user proves who it is, as it is shown: ``password``, ``no-password`` or ``iam``, and how many passwords it has."""

    type: str
    password_count: int | None = None


class User(Shape):
    """A user as it is. Its passwords are never shown."""

    user_id: str
    user_name: str
    status: str
    engine: str
    minimum_engine_version: str
    access_string: str
    user_group_ids: list[str] = Field(default_factory=list)
    authentication: Authentication
    arn: Annotated[str, Aws("ARN")]


class Users(Shape):
    """A page of users."""

    users: list[User]
    marker: str | None = None


CREATE_USER = Operation(
    "CreateUser", "POST /users", CreateUser, User,
    "Create a user with its passwords and what it may do. It reaches caches with its user groups.",
    Subject(USER, "user_id"),
    in_engines=NOTHING,
)  # fmt: skip
DESCRIBE_USERS = Operation(
    "DescribeUsers", "GET /users", DescribeUsers, Users,
    "Show one user, those that filters let through, or all.",
    Subject(USER, "user_id"), reads=True,
)  # fmt: skip
MODIFY_USER = Operation(
    "ModifyUser", "PATCH /users/{user_id}", ModifyUser, User,
    "Change what a user may do or its passwords, on every cache that it may come in to.",
    Subject(USER, "user_id"),
    in_engines="ACL SETUSER on every node of every group that it may come in to.",
)  # fmt: skip
DELETE_USER = Operation(
    "DeleteUser", "DELETE /users/{user_id}", DeleteUser, User,
    "Delete a user, and keep it out of every cache.",
    Subject(USER, "user_id"),
    in_engines="ACL DELUSER on every node of every group that it could come in to.",
)  # fmt: skip
