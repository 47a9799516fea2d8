"""Access strings: their normal form, what is refused, and that engines make of the normal form what they make of what was written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from bare_engines import BareEngine, binaries
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api_schemas.faults import InvalidParameterValue
from controlplane.domain.access_control import WITHHELD
from controlplane.domain.access_string import parsed
from controlplane.domain.acl_commands import COMMANDS, known_to


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("on ~* +@all", "on ~* +@all"),
        ("on ~* &* +@all", "on ~* &* +@all"),
        ("off -@all", "off -@all"),
        ("on ~app:* -@all +@read +get", "on ~app:* -@all +@read +get"),
        ("~objects:* ~items:*", "off ~objects:* ~items:* -@all"),
        ("+get ~a on", "on ~a -@all +get"),
        ("  on   allkeys  allchannels allcommands ", "on ~* &* +@all"),
        ("on ~a resetkeys ~b +get nocommands +SET", "on ~b -@all +set"),
        ("on ~a ~a +get", "on ~a -@all +get"),
        ("on ~a ~* +@all -@dangerous", "on ~* +@all -@dangerous"),
        ("on %R~a %W~b %RW~c +get", "on %R~a %W~b ~c -@all +get"),
        ("on resetchannels +subscribe", "on resetchannels -@all +subscribe"),
        ("on &news:* +subscribe", "on &news:* -@all +subscribe"),
        ("on ~a +get (~b +set) (%R~c &x -@all +get)", "on ~a -@all +get (~b -@all +set) (%R~c &x -@all +get)"),
        ("on ~a +config|get +select|0", "on ~a -@all +config|get +select|0"),
    ],
)  # fmt: skip
def test_the_normal_form(written: str, normal: str) -> None:
    assert parsed(written).text == normal
    assert parsed(normal).text == normal


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("on >secret-password-123 ~*", "cannot hold passwords"),
        ("on #" + "a" * 64, "cannot hold passwords"),
        ("on <secret-password-123", "cannot hold passwords"),
        ("on nopass ~*", "about passwords"),
        ("on resetpass", "about passwords"),
        ("reset on", "about passwords"),
        ("on ~* ~a", "no effect after"),
        ("on &* &a", "no effect after"),
        ("on +nosuch", "no command nosuch"),
        ("on +@nosuch", "no category nosuch"),
        ("on +config|nosuch", "no command config"),
        ("on -get|x", "no command get"),
        ("on +get|a|b", "no command get"),
        ("on (~a +get", "has no )"),
        ("on (on ~a)", "inside a selector"),
        ("on hello", "no ACL rule"),
        ("on %X~a", "keys are given as"),
        ("on ~", "keys are given as"),
        ("on\n~*", "cannot be printed"),
    ],
)  # fmt: skip
def test_what_is_refused(written: str, why: str) -> None:
    with pytest.raises(InvalidParameterValue) as refused:
        parsed(written)
    assert why in refused.value.message
    assert "secret" not in refused.value.message
    assert "a" * 64 not in refused.value.message


def test_what_is_withheld_is_known_to_an_engine() -> None:
    assert set(WITHHELD) <= COMMANDS


RULES = st.sampled_from(
    ["on", "off", "~a", "~b:*", "~*", "allkeys", "resetkeys", "%R~c", "%W~d", "&x", "&*", "resetchannels", "+get", "-get", "+@read", "-@write",
     "+@all", "-@all", "+config|get", "-config", "+config", "+select|0", "+SET", "(~s +get)", "(%R~t -@all +@hash)", "clearselectors"]
)  # fmt: skip


@pytest.fixture(scope="module", params=sorted(binaries()))
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareEngine]:
    with BareEngine(binaries()[request.param], tmp_path_factory.mktemp("engine") / "e") as running:
        yield running


def told(engine: BareEngine, *rules: str) -> object:
    engine.client.execute_command("ACL", "SETUSER", "u", "reset", *rules)
    return {bytes(key): value for key, value in _pairs(engine.client.execute_command("ACL", "GETUSER", "u"))}


def _pairs(answer: object) -> list[tuple[bytes, object]]:
    found = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)  # type: ignore[index]
    return [(key if isinstance(key, bytes) else str(key).encode(), value) for key, value in found]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rules=st.lists(RULES, min_size=1, max_size=8))
def test_an_engine_makes_the_same_of_the_normal_form(engine: BareEngine, rules: list[str]) -> None:
    try:
        made = parsed(" ".join(rules))
    except InvalidParameterValue:
        return  # it is also refused by engines, as the next test says
    assert parsed(made.text).text == made.text
    on = "on" if made.on else "off"
    assert told(engine, *rules) == told(engine, on, *made.engine_rules(()))


@pytest.mark.parametrize("rules", [("~*", "~a"), ("&*", "&a"), ("+nosuch",), ("+@nosuch",), ("-get|x",), ("hello",)])
def test_what_we_refuse_engines_refuse(engine: BareEngine, rules: tuple[str, ...]) -> None:
    with pytest.raises(redis.ResponseError):
        told(engine, *rules)
    with pytest.raises(InvalidParameterValue):
        parsed(" ".join(rules))


def test_the_commands_are_those_of_the_engine(engine: BareEngine) -> None:
    server = engine.client.info("server")
    name = "valkey" if "valkey_version" in server else "redis"
    version = str(server.get("valkey_version") or server["redis_version"]).split(".")
    categories = [each.decode() for each in engine.client.execute_command("ACL", "CAT")]
    real = {each.decode() for category in categories for each in engine.client.execute_command("ACL", "CAT", category)}
    assert real == known_to(name, (int(version[0]), int(version[1])))
