"""The users of one engine, as it is told them: ours, the callers', and the one that everybody is who says nothing."""

from __future__ import annotations

import string
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from agents.engines.reach import credentials_of
from api_schemas.agent.access import DEFAULT_USER, Access
from api_schemas.agent.node import NodeSpec

Rules = tuple[str, ...]

_EVERYTHING: Rules = ("~*", "&*", "+@all")
_OPEN: Rules = ("on", "nopass", *_EVERYTHING)
_SHUT: Rules = ("off",)
_PLAIN = (string.ascii_letters + string.digits + " !#$%&()*+,-./:;<=>?@[]^_`{|}~").encode()


def users_of(access: Access) -> dict[str, Rules]:
    """All ACL rules of every user, by name; ours first. Raises ValueError when a caller's user has the name of ours."""
    system = access.system
    told = {system.username: ("on", f"#{sha256(system.password.encode()).hexdigest()}", *_EVERYTHING)}
    for user in access.users:
        if user.name == system.username:
            raise ValueError(f"{user.name} is the user as whom agents come in; no caller's user can have that name.")
        told[user.name] = user.rules
    return {**told, DEFAULT_USER: told.get(DEFAULT_USER, _SHUT if access.users else _OPEN)}


def user_directives(spec: NodeSpec) -> Iterator[tuple[str, str]]:
    """What a configuration file says of users, so that an engine is never open, and of whom a replica is to its primary."""
    credentials = credentials_of(spec)
    if spec.access is None or credentials is None:
        return
    yield "masteruser", _word(credentials.username)  # every version of both engines knows these names
    yield "masterauth", _word(credentials.password)
    for name, rules in users_of(spec.access).items():
        yield "user", " ".join(map(_word, (name, *rules)))


def told_of_ours(access: Access) -> list[tuple[str, ...]]:
    """The commands after which an engine has our user, we are it, and it is that one itself to its primary."""
    system = access.system
    return [
        _set(system.username, users_of(access)[system.username]),
        ("AUTH", system.username, system.password),
        ("CONFIG", "SET", "masteruser", system.username),
        ("CONFIG", "SET", "masterauth", system.password),
    ]


def told_of_others(access: Access) -> dict[str, tuple[str, ...]]:
    """The command that sets each user but ours, by its name: all of its rules at once, whatever it had before."""
    return {name: _set(name, rules) for name, rules in users_of(access).items() if name != access.system.username}


def refusal(name: str, answer: Any) -> str:
    """What an engine has against a user, without what could be a password."""
    said = str(answer)
    return f"it refuses the rules of user {name}" + ("" if "'#" in said or "'>" in said else f": {said}")


def _set(name: str, rules: Rules) -> tuple[str, ...]:
    return ("ACL", "SETUSER", name, "reset", *rules)


def _word(text: str) -> str:
    """One word of a configuration file, whatever is in it."""
    return '"' + "".join(chr(byte) if byte in _PLAIN else f"\\x{byte:02x}" for byte in text.encode()) + '"'
