"""An access string: what a user may do, in the ACL rules of the engines, checked and brought into the service's normal form."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn, Self

from api_schemas.faults import InvalidParameterValue
from controlplane.domain.acl_commands import CATEGORIES, COMMANDS, CONTAINERS

_SHOWN = 60  # characters of a rule that a message repeats
_PATTERN = re.compile(r"(?:%(?P<kinds>[RWrw]{1,2}))?~(?P<pattern>.+)")
_EVERYTHING, _NOTHING = "+@all", "-@all"
_ALIASES = {"allkeys": "~*", "allchannels": "&*", "allcommands": _EVERYTHING, "nocommands": _NOTHING}
_OF_PASSWORDS = ("nopass", "resetpass", "reset")
_BEGIN_OF_PASSWORD = (">", "<", "#", "!")


@dataclass(frozen=True, slots=True)
class Permissions:
    """Which keys, channels and commands are allowed together: those of a user, or of one selector of it.

    Without ``channels``, what the engine's ``acl-pubsub-default`` says holds, unless they were ``reset`` to none.
    """

    keys: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    reset: bool = False
    commands: tuple[str, ...] = (_NOTHING,)

    @property
    def rules(self) -> tuple[str, ...]:
        """In normal form."""
        channels = self.channels or (("resetchannels",) if self.reset else ())
        return (*self.keys, *channels, *self.commands)

    def engine_rules(self, withheld: Sequence[str]) -> tuple[str, ...]:
        """The same for an engine, whatever its defaults are, less what is withheld."""
        reset = ("resetchannels",) if self.channels or self.reset else ()
        return ("resetkeys", *self.keys, *reset, *self.channels, *self.commands, *(f"-{name}" for name in withheld))

    def with_rule(self, rule: str) -> Self:
        """The same after one more rule. Raises InvalidParameterValue."""
        rule = _ALIASES.get(rule.lower(), rule)
        lower = rule.lower()
        if lower == "resetkeys":
            return replace(self, keys=())
        if lower == "resetchannels":
            return replace(self, channels=(), reset=True)
        if lower in (_EVERYTHING, _NOTHING):
            return replace(self, commands=(lower,))
        if rule[0] in "~%":
            return replace(self, keys=_extended(self.keys, _key_pattern(rule), "~*"))
        if rule[0] == "&" and len(rule) > 1:
            return replace(self, channels=_extended(self.channels, rule, "&*"))
        if rule[0] not in "+-":
            _refuse(rule, "it is no ACL rule")
        return replace(self, commands=(*self.commands, _command(lower)))


@dataclass(frozen=True, slots=True)
class AccessString:
    """Whether a user may come in, and what it may do then. ``text`` is the normal form, which is a fixed point of ``parsed``."""

    on: bool = False
    root: Permissions = field(default_factory=Permissions)
    selectors: tuple[Permissions, ...] = ()

    @property
    def text(self) -> str:
        """The normal form: ``on`` or ``off``, keys, channels, commands from ``-@all`` or ``+@all`` on, selectors."""
        return " ".join(("on" if self.on else "off", *self.root.rules, *(f"({' '.join(each.rules)})" for each in self.selectors)))

    @property
    def needs_selectors(self) -> bool:
        """Whether it has what engines know since 7.0 only: selectors, or keys that may be read or written alone."""
        return bool(self.selectors) or any(key.startswith("%") for key in self.root.keys)

    def engine_rules(self, withheld: Sequence[str]) -> tuple[str, ...]:
        """Its rules but ``on`` and ``off`` for an engine, less the commands that are withheld, in its selectors as well."""
        selectors = (f"({' '.join(each.engine_rules(withheld)[1:])})" for each in self.selectors)
        return (*self.root.engine_rules(withheld), *selectors)


def parsed(text: str) -> AccessString:
    """The access string that a caller wrote.

    Raises InvalidParameterValue for a rule that engines do not have, that is about passwords, or that has no effect after ``~*`` or ``&*``.
    """
    made = AccessString()
    for rule in _rules(text):
        if rule.startswith("("):
            made = replace(made, selectors=(*made.selectors, _selector(rule)))
        elif rule.lower() in ("on", "off"):
            made = replace(made, on=rule.lower() == "on")
        elif rule.lower() == "clearselectors":
            made = replace(made, selectors=())
        else:
            made = replace(made, root=made.root.with_rule(_harmless(rule)))
    return made


def _rules(text: str) -> Iterator[str]:
    """The rules in it; a selector is one, from its ``(`` to the rule that ends with ``)``."""
    if not text.isprintable():
        raise InvalidParameterValue("AccessString is not valid: it has characters that cannot be printed. Rules are separated by blanks.")
    inside: list[str] = []
    for rule in filter(None, text.split(" ")):
        if not inside and not rule.startswith("("):
            yield rule
            continue
        inside.append(rule)
        if rule.endswith(")"):
            yield " ".join(inside)
            inside = []
    if inside:
        _refuse(" ".join(inside), "its ( has no )")


def _selector(rule: str) -> Permissions:
    made = Permissions()
    for each in filter(None, rule[1:-1].split(" ")):
        if each.lower() in ("on", "off", "clearselectors") or each.startswith("("):
            _refuse(each, "it cannot be inside a selector")
        made = made.with_rule(_harmless(each))
    return made


def _harmless(rule: str) -> str:
    """The rule. What may be a password is refused without being repeated."""
    if rule.startswith(_BEGIN_OF_PASSWORD):
        raise InvalidParameterValue("AccessString is not valid: it cannot hold passwords. Give them as Passwords or AuthenticationMode.")
    if rule.lower() in _OF_PASSWORDS:
        _refuse(rule, "it is about passwords; give Passwords, NoPasswordRequired or AuthenticationMode")
    return rule


def _key_pattern(rule: str) -> str:
    found = _PATTERN.fullmatch(rule)
    if found is None:
        _refuse(rule, "keys are given as ~pattern, %R~pattern or %W~pattern")
    kinds = set((found["kinds"] or "RW").upper())
    return f"~{found['pattern']}" if len(kinds) == 2 else f"%{kinds.pop()}~{found['pattern']}"


def _extended(patterns: tuple[str, ...], pattern: str, everything: str) -> tuple[str, ...]:
    if pattern == everything:
        return (everything,)
    if everything in patterns:
        _refuse(pattern, f"it has no effect after {everything}")
    return patterns if pattern in patterns else (*patterns, pattern)


def _command(rule: str) -> str:
    """A rule that adds or takes away a category, a command, a subcommand, or a command with one first argument."""
    sign, name = rule[0], rule[1:]
    if name.startswith("@"):
        if name[1:] not in CATEGORIES:
            _refuse(rule, f"there is no category {name[1:][:_SHOWN]}")
        return rule
    command, bar, argument = name.partition("|")
    takes_first_argument = sign == "+" and bar and argument and "|" not in argument and command in COMMANDS - CONTAINERS
    if name not in COMMANDS and not takes_first_argument:
        _refuse(rule, f"there is no command {name[:_SHOWN]}")
    return rule


def _refuse(rule: str, why: str) -> NoReturn:
    raise InvalidParameterValue(f"AccessString is not valid at {rule[:_SHOWN]!r}: {why}.")
