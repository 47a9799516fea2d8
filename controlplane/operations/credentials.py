"""Passwords and tokens as callers give them: checked, kept as hashes, and never repeated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from api_schemas.faults import InvalidParameterCombination, InvalidParameterValue
from api_schemas.user import AuthenticationMode
from controlplane.domain.user import MOST_PASSWORDS, hash_of

SHORTEST, LONGEST = 16, 128
_PASSWORD = re.compile(r"[ -~]+")
_NOT_IN_PASSWORDS = frozenset(',"/@')
_TOKEN = re.compile(r"[A-Za-z0-9!&#$^<>-]+")

MISSING = (
    "No password was provided. If you want to create/update the user without password, please use the NoPasswordRequired flag."
)
LENGTH = f"Passwords length must be between {SHORTEST}-{LONGEST} characters."
_IAM = "IAM authentication is not built yet. Nothing was changed; choose the type password or no-password-required."
_TYPES = "password, no-password-required or iam"


@dataclass(frozen=True, slots=True)
class Proof:
    """How a user proves who it is: one of the passwords, of which only hashes are here, or not at all."""

    passwords: tuple[str, ...] = field(default=(), repr=False)
    no_password: bool = False


def proof_asked(passwords: Sequence[str], no_password: bool | None, mode: AuthenticationMode | None) -> Proof | None:
    """The proof that a request asks for, None where it says nothing; ``NoPasswordRequired=false`` says nothing.

    Raises InvalidParameterCombination where it is said in two ways, InvalidParameterValue for what no password can be.
    """
    has_mode = mode is not None and (bool(mode.type) or bool(mode.passwords))
    if sum((bool(passwords), bool(no_password), has_mode)) > 1:
        raise InvalidParameterCombination("Give one of Passwords, NoPasswordRequired=true and AuthenticationMode, not several.")
    if mode is not None and has_mode:
        return _of_mode(mode)
    if no_password:
        return Proof(no_password=True)
    return Proof(_hashes(passwords)) if passwords else None


def token_hash(token: str) -> str:
    """What is kept of an AUTH token. Raises InvalidParameterValue for one that cannot be."""
    if not SHORTEST <= len(token) <= LONGEST:
        raise InvalidParameterValue(f"AuthToken is not valid: it has {SHORTEST} to {LONGEST} characters.")
    if not _TOKEN.fullmatch(token):
        raise InvalidParameterValue("AuthToken is not valid: it has letters, digits, and of other characters !, &, #, $, ^, <, > and -.")
    return hash_of(token)


def _of_mode(mode: AuthenticationMode) -> Proof:
    kind = (mode.type or "").lower()
    if kind == "iam":
        raise InvalidParameterValue(_IAM)
    if kind == "password":
        if not mode.passwords:
            raise InvalidParameterValue(MISSING)
        return Proof(_hashes(mode.passwords))
    if kind != "no-password-required":
        raise InvalidParameterValue(f"Invalid value for AuthenticationMode.Type: it must be {_TYPES}.")
    if mode.passwords:
        raise InvalidParameterCombination("AuthenticationMode.Passwords cannot be given with the type no-password-required.")
    return Proof(no_password=True)


def _hashes(passwords: Sequence[str]) -> tuple[str, ...]:
    if len(passwords) > MOST_PASSWORDS:
        raise InvalidParameterValue(f"{len(passwords)} passwords were given; a user has at most {MOST_PASSWORDS}.")
    for password in passwords:
        if not SHORTEST <= len(password) <= LONGEST:
            raise InvalidParameterValue(LENGTH)
        if not _PASSWORD.fullmatch(password) or _NOT_IN_PASSWORDS & set(password):
            raise InvalidParameterValue('Passwords are not valid: they have printable ASCII characters, but no comma, ", / or @.')
    return tuple(dict.fromkeys(hash_of(password) for password in passwords))
