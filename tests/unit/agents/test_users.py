"""The users of an engine as it is told them: whom there always is, and how they stand in its configuration file."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.engines.reach import own_reach, peer_reach
from agents.engines.users import refusal, told_of_others, told_of_ours, user_directives, users_of
from agents.engines.valkey_config import write_config
from api_schemas.agent.access import Access, AclUser, Credentials
from api_schemas.agent.node import EngineBinary, NodeSpec, Peer, Role

SYSTEM = Credentials("ours", "pass word")
HASHED = "#b6b7a41be97baca5d7e48b3e3bf1e7cd4e9bfb4d5d2d6fd7f6f9f0a9f5a0c2b1"
OPEN = Access(SYSTEM)
CLOSED = Access(SYSTEM, (AclUser("default", ("off",)), AclUser("alice", ("on", HASHED, "~*", "+@all"))))


def spec(access: Access | None = OPEN, engine: str = "valkey") -> NodeSpec:
    binary = EngineBinary(engine=engine, version="9.1.0", path="/server")
    return NodeSpec(key="uid.n1", generation=1, binary=binary, zone="us-east-1a", address="127.0.0.1", port=6379, role=Role.PRIMARY,
                    epoch=1, memory=2**20, access=access)  # fmt: skip


def test_we_may_do_everything_and_so_may_everybody_while_there_are_no_other_users() -> None:
    users = users_of(OPEN)
    assert users.keys() == {"ours", "default"}
    assert users["ours"][0] == "on" and users["ours"][2:] == ("~*", "&*", "+@all")
    assert users["default"] == ("on", "nopass", "~*", "&*", "+@all")


def test_callers_users_are_told_as_they_are() -> None:
    assert {name: rules for name, rules in users_of(CLOSED).items() if name != "ours"} == {user.name: user.rules for user in CLOSED.users}


def test_where_users_are_nobody_comes_in_without_a_name_that_nobody_spoke_of() -> None:
    assert users_of(Access(SYSTEM, CLOSED.users[1:]))["default"] == ("off",)


def test_no_caller_has_our_name() -> None:
    with pytest.raises(ValueError, match="no caller's user can have that name"):
        users_of(Access(SYSTEM, (AclUser("ours", ("on",)),)))


def test_our_password_is_told_where_it_must_be_and_its_hash_elsewhere() -> None:
    told = told_of_ours(OPEN)
    assert [command for command in told if "pass word" in command] == [
        ("AUTH", "ours", "pass word"),
        ("CONFIG", "SET", "masterauth", "pass word"),
    ]
    assert all(command[:2] == ("ACL", "SETUSER") and command[3] == "reset" for command in [told[0], *told_of_others(CLOSED).values()])


def test_a_word_of_the_file_is_one_whatever_is_in_it() -> None:
    odd = Access(Credentials("o'urs", 'a"b\\c\nuser x on nopass'), ())
    lines = dict(user_directives(spec(odd)))
    assert lines["masterauth"] == '"a\\x22b\\x5cc\\x0auser x on nopass"'
    assert lines["masteruser"] == '"o\\x27urs"'


def test_the_file_is_its_owners_alone_and_says_nothing_where_there_are_no_users(tmp_path: Path) -> None:
    path = write_config(spec(CLOSED), tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    assert text.count("\nuser ") == 3 and f'user "alice" "on" "{HASHED}" "~*" "+@all"\n' in text
    assert "\nuser " not in write_config(spec(None), tmp_path).read_text()


def test_a_refusal_names_the_user_and_no_password() -> None:
    assert refusal("bob", "Error in ACL SETUSER modifier '+@x': Unknown command") == (
        "it refuses the rules of user bob: Error in ACL SETUSER modifier '+@x': Unknown command"
    )
    assert refusal("bob", f"Error in ACL SETUSER modifier '{HASHED}': no hash") == "it refuses the rules of user bob"


def test_we_come_in_as_ourselves_at_every_node_of_a_topology_and_as_nobody_at_memcached() -> None:
    peer = Peer(key="uid.n2", address="127.0.0.2", port=7, boot=1)
    assert (peer_reach(spec(), peer).address, peer_reach(spec(), peer).port) == ("127.0.0.2", 7)
    assert peer_reach(spec(), peer).greeting == own_reach(spec()).greeting == b"*3\r\n$4\r\nAUTH\r\n$4\r\nours\r\n$9\r\npass word\r\n"
    assert own_reach(spec(None)).greeting == own_reach(spec(engine="memcached")).greeting == b""
    assert "pass word" not in repr(own_reach(spec()))
