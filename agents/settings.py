"""Settings of an agent; the only reader of its environment. Each has a description, from which the command line is made."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from agents.host_facts import bytes_of, physical_memory
from agents.runtime_settings import RuntimeSettings
from api_schemas.agent.join_token import JoinToken

_ZONE = r"^[a-z]{2}(-[a-z0-9]+)+-\d{1,2}[a-z]$"
_NAME = r"^[a-z0-9-]{1,63}$"


class TokenError(Exception):
    """The join token cannot be used; the text says why and what to do."""


class Settings(RuntimeSettings):
    """Every setting can be given as an environment variable with the prefix ``CACHEWRIGHT_AGENT_``."""

    model_config = SettingsConfigDict(env_prefix="CACHEWRIGHT_AGENT_")

    zone: str = Field(pattern=_ZONE, description="Availability zone of this host, such as us-east-1b.")
    join: str = Field(
        description="URL of the control plane's door for agents, such as https://127.0.0.1:8380; of several all, with commas."
    )
    token_file: Path | None = Field(None, description="File with a join token; needed until the agent has its first certificate.")
    data_dir: Path = Field(
        Path("~/.local/share/cachewright-agent"), description="Folder of the engines' data and of what this agent must remember."
    )
    name: str | None = Field(None, pattern=_NAME, description="Name of this agent; by default one is made up and kept.")
    listen: str = Field("127.0.0.1:0", description="Address and port to take orders at; port 0 picks a free one.")
    url: str | None = Field(None, description="Where the control plane reaches this agent, if not where it listens.")
    network: str | None = Field(None, description="Addresses that nodes may use (CIDR); by default a share of the zone's.")
    engines_dir: Path | None = Field(None, description="Folder with more engine programs, besides those installed.")
    memory: int | None = Field(
        default_factory=physical_memory, description="What the nodes of this host may take of its memory, such as 8G; by default all of it."
    )
    cores: int | None = Field(default_factory=os.cpu_count, description="Processors of this host; by default those it has.")
    host: str = Field(default_factory=socket.gethostname, description="What this host is called in descriptions.")
    log_level: str = Field("warning", pattern="^(debug|info|warning|error)$", description="debug, info, warning or error.")

    @field_validator("memory", mode="before")
    @classmethod
    def _in_bytes(cls, memory: object) -> object:
        return bytes_of(memory) if isinstance(memory, str) else memory

    @field_validator("join")
    @classmethod
    def _are_https(cls, urls: str) -> str:
        return ",".join(str(cls._is_https(url.strip())) for url in urls.split(","))

    @property
    def control_planes(self) -> list[str]:
        """The URLs in ``join``."""
        return self.join.split(",")

    @field_validator("url")
    @classmethod
    def _is_https(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "https://nowhere")
        if parts.scheme == "http":
            raise ValueError("agents and control plane speak TLS only: give the https:// URL for agents that the control plane prints "
                             "when it is ready (--join), or an https:// URL of your own (--url)")  # fmt: skip
        if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment or parts.username:
            raise ValueError("it must be a URL such as https://127.0.0.1:8380")
        return url.rstrip("/") if url else url

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of ``listen``. Raises ValueError."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]") or "127.0.0.1", int(port)

    def token(self) -> JoinToken | None:
        """The join token, if a file with one is given. Raises TokenError."""
        if self.token_file is None:
            return None
        try:
            return JoinToken.parse(self.token_file.read_text())
        except (OSError, UnicodeDecodeError) as failed:
            raise TokenError(f"the join token cannot be read from {self.token_file}: {failed}") from failed
        except ValueError as wrong:
            told = f"{self.token_file} holds no join token: {wrong}. Have one made with cachewright agent token create"
            raise TokenError(told) from wrong
