"""Where engines live: settings that an agent of its own and ``serve`` have in common."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class RuntimeSettings(BaseSettings):
    """Every setting can be given as an environment variable with the prefix ``CACHEWRIGHT_``."""

    model_config = SettingsConfigDict(env_prefix="CACHEWRIGHT_")

    runtime: Literal["process", "docker"] = Field(
        "process", description="Where engines live: `process`, or `docker` for containers of this host's Docker Engine."
    )
    images: str = Field(
        "",
        description="For containers: `engine[:version]=image`, several with commas, in place of the engine's usual image, such as "
        "`valkey=valkey/valkey:{version}`; or `local` to use only images that are here.",
    )
    registry: str = Field("", description="For containers: put before the names of images, such as `registry.example:5000/mirror`.")
    container_user: str | None = Field(
        None, description="For containers: `uid:gid` that engines run as; by default the agent's own, or 65534:65534 if that is root."
    )
