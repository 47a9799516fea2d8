"""Settings of an agent; the only reader of its environment. Each has a description, from which the command line is made."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from agents.runtime_settings import RuntimeSettings

_ZONE = r"^[a-z]{2}(-[a-z0-9]+)+-\d{1,2}[a-z]$"
_NAME = r"^[a-z0-9-]{1,63}$"
_TOKEN = re.compile(r"[!-~]{16,512}")


class TokenError(Exception):
    """The join token cannot be used; the text says why and what to do."""


class Settings(RuntimeSettings):
    """Every setting can be given as an environment variable with the prefix ``CACHEWRIGHT_AGENT_``."""

    model_config = SettingsConfigDict(env_prefix="CACHEWRIGHT_AGENT_")

    zone: str = Field(pattern=_ZONE, description="Availability zone of this host, such as us-east-1b.")
    join: str = Field(description="URL of the control plane, such as http://127.0.0.1:8379.")
    token_file: Path = Field(description="File with the join token of the control plane.")
    data_dir: Path = Field(description="Folder of the engines' data and of what this agent must remember.")
    name: str | None = Field(None, pattern=_NAME, description="Name of this agent; by default one is made up and kept.")
    listen: str = Field("127.0.0.1:0", description="Address and port to take orders at; port 0 picks a free one.")
    url: str | None = Field(None, description="Where the control plane reaches this agent, if not where it listens.")
    network: str | None = Field(None, description="Addresses that nodes may use (CIDR); by default a share of the zone's.")
    engines_dir: Path | None = Field(None, description="Folder with more engine programs, besides those installed.")
    host: str = Field(default_factory=socket.gethostname, description="What this host is called in descriptions.")
    log_level: str = Field("warning", pattern="^(debug|info|warning|error)$", description="debug, info, warning or error.")

    @field_validator("join", "url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "http://nowhere")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("it must be a URL such as http://127.0.0.1:8379")
        return url.rstrip("/") if url else url

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of ``listen``. Raises ValueError."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]") or "127.0.0.1", int(port)

    def token(self) -> str:
        """The join token. Raises TokenError."""
        try:
            token = self.token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as failed:
            raise TokenError(f"the join token cannot be read from {self.token_file}: {failed}") from failed
        if not _TOKEN.fullmatch(token):
            raise TokenError(f"{self.token_file} holds no join token, which is one line of at least 16 letters, digits and signs")
        return token
