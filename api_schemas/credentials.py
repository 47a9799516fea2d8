"""An access key as its bearer has it: in a file that AWS's tools read too, or as a token of the REST API."""

from __future__ import annotations

import configparser
import re
from dataclasses import dataclass, field
from typing import Self

_ID = re.compile(r"CWAK[A-Z2-7]{16}")
_SECRET = re.compile(r"[A-Za-z0-9_-]{40}")
_SECTION, _KEY, _SECRET_KEY = "default", "aws_access_key_id", "aws_secret_access_key"


@dataclass(frozen=True)
class Credentials:
    """An access key's id and its secret."""

    id: str
    secret: str = field(repr=False)

    @classmethod
    def parse_file(cls, text: str) -> Self:
        """The key in the ``default`` profile of a file in AWS's form. Raises ValueError, which tells nothing of what the file holds."""
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(text)
            return cls(parser[_SECTION][_KEY], parser[_SECTION][_SECRET_KEY])
        except (configparser.Error, KeyError):
            raise ValueError(f"it is not a file with [{_SECTION}], {_KEY} and {_SECRET_KEY}") from None

    @classmethod
    def parse_token(cls, text: str) -> Self:
        """The key that a bearer token is made of. Raises ValueError, which tells nothing of the token."""
        key, _, secret = text.partition(".")
        if not is_our_id(key) or _SECRET.fullmatch(secret) is None:
            raise ValueError("a token is an access key's id, a dot, and its secret")
        return cls(key, secret)

    @property
    def file(self) -> str:
        """The text of a file with the key, as AWS's tools read it."""
        return f"[{_SECTION}]\n{_KEY} = {self.id}\n{_SECRET_KEY} = {self.secret}\n"

    @property
    def token(self) -> str:
        """The bearer token of the REST API."""
        return f"{self.id}.{self.secret}"


def is_our_id(text: str) -> bool:
    """Whether it is the id of one of our access keys, and none of AWS's."""
    return _ID.fullmatch(text) is not None
