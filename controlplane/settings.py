"""Settings of the control plane; the only reader of its environment. Each has a description, from which the docs are made."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from controlplane.domain.delivery_place import DeliveryPlace, delivery_place
from controlplane.domain.endpoint_names import DEFAULT_SUFFIX, EndpointStyle, suffix
from controlplane.domain.topology import Endpoints, MemcachedDiscovery
from controlplane.planner.situation import Policy

AGENTS_LISTEN = "127.0.0.1:8380"
_ORIGIN = r"https?://([a-z0-9.-]{1,253}|\[[0-9a-f:.]+\])(:[0-9]{1,5})?"
_ADDRESS = r"^([^:\s]+|\[[0-9a-fA-F:.]+\]):\d{1,5}$"


class Authentication(StrEnum):
    """When callers must show access keys. There is no way to listen beyond loopback without."""

    AUTO = "auto"
    REQUIRED = "required"


class Settings(BaseSettings):
    """Every setting can be given as an environment variable with the prefix ``CACHEWRIGHT_``."""

    model_config = SettingsConfigDict(env_prefix="CACHEWRIGHT_")

    host: str = Field("127.0.0.1", description="Address to listen on. Beyond loopback, callers need access keys.")
    port: int = Field(8379, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    authentication: Authentication = Field(
        Authentication.AUTO,
        description="Whether callers must show access keys: `auto`, unless only loopback is listened on; or `required`, there too.",
    )
    access_key_file: Path | None = Field(
        None, description="File with an admin's access key, in the form of AWS's credentials file; a key is made into it if there is none."
    )
    secrets_key_file: Path | None = Field(
        None,
        description="File with the key that seals the secrets of access keys, made if there is none; by default `secrets.key` in the data "
        "folder. Control planes that share a database need the same.",
    )
    audit_log: str = Field("", description="File of the audit, or `off`; by default `audit.jsonl` in the data folder.")
    cors_origins: str = Field(
        "", description="Origins of web pages that may ask, as in `https://console.example.com`, with commas between; by default none."
    )
    trusted_proxies: str = Field(
        "", description="Addresses, with commas between, of proxies that are believed when they say from where a request came."
    )
    data_dir: Path = Field(
        Path("~/.local/share/cachewright"), description="Folder of the database, and of agents that live in this process."
    )
    database_url: str = Field(
        "",
        description="Database, such as `postgresql://user:password@host/name`, which several control planes may share; by default SQLite "
        "in the data folder.",
    )
    snapshot_archive: str = Field(
        "",
        description="Where snapshots are kept: a folder, which agents of other hosts must see as well, or a bucket as in "
        "`s3://bucket/prefix?endpoint=http%3A%2F%2Fhost%3A9000&region=us-east-1`; by default the folder `snapshots` of the data folder.",
    )
    buckets: str = Field(
        "",
        description="Where the buckets of callers are, which snapshots are exported to and files come from: a folder with a folder for "
        "each, or S3 as in `s3://?endpoint=http%3A%2F%2Fhost%3A9000&region=us-east-1`; by default the folder `buckets` of the data folder.",
    )
    notifications: str = Field(
        "",
        description="Where notifications of events go: an SNS-compatible endpoint as in `sns+http://127.0.0.1:4566`, or a webhook as in "
        "`https://host/path`; by default the file `notifications.jsonl` of the data folder.",
    )
    log_delivery: str = Field(
        "",
        description="Where slow logs and engine logs go: an endpoint of CloudWatch Logs and Firehose as in `logs+http://127.0.0.1:4566`, "
        "or a webhook as in `https://host/path`; by default files in the folder `logs` of the data folder.",
    )
    region: str = Field("us-east-1", description="Region of requests that name none.")
    account_id: str = Field("000000000000", pattern=r"^\d{12}$", description="Account of requests whose access key is no account id.")
    endpoint_network: str = Field("127.100.0.0/24", description="Addresses that primary and reader endpoints are drawn from (CIDR).")
    endpoints: Endpoints = Field(
        Endpoints.BOUND,
        description="How endpoints of new caches follow their nodes: `bound`, an address that the node binds, on one host; or `named`, a "
        "name that leads to the nodes, over any hosts.",
    )
    dns_listen: str = Field("", description="Where to serve endpoints' names, as HOST:PORT; port 0 picks a free one. By default nowhere.")
    dns_suffix: str = Field(DEFAULT_SUFFIX, description="Domain below which the names of endpoints are.")
    dns_ttl: int = Field(1, ge=0, le=86400, description="Seconds for which a client may remember where a name leads.")
    describe_hold: float = Field(
        3.0, ge=0, le=60, description="Seconds a Describe of one resource is held while its status is transitional."
    )
    longest_wait: float = Field(600.0, ge=0, description="Most seconds that ``Prefer: wait`` is honoured.")
    largest_body: int = Field(1_048_576, ge=1024, description="Bytes of the largest request body that is read.")
    largest_import: int = Field(
        64 << 30, ge=1 << 20, description="Bytes of the files that are kept at once, in the data folder, until snapshots are made of them."
    )
    join_token_file: Path | None = Field(
        None, description="File with the token that agents of other hosts join with; made if there is none. It opens the agents' door."
    )
    agents_listen: str | None = Field(
        None, pattern=_ADDRESS, description="Address and port of the agents' door, which speaks TLS only and may be any of this host's; "
        f"by default {AGENTS_LISTEN}, and with neither this nor a join token file there is no such door."
    )  # fmt: skip
    agents_url: str | None = Field(
        None, pattern=r"^https://[^/?#@\s]+/?$", description="URL at which agents reach their door, if it is not where that listens."
    )
    memcached_discovery: MemcachedDiscovery = Field(
        MemcachedDiscovery.EVERY_NODE,
        description="Where new Memcached clusters answer `config get cluster`: `every-node`, as in the service, or "
        "`configuration-endpoint`, which leaves the nodes' own ports to Memcached itself, at its full throughput.",
    )
    access_without_tls: bool = Field(
        False,
        description="Let users and AUTH tokens guard caches whose connections are not encrypted, over which passwords then go in clear. "
        "The service does not.",
    )
    election_settle: float = Field(1.0, ge=0, description="Seconds an election waits for living replicas to tell their offsets.")
    most_failover_tests: int = Field(
        0, ge=0, description="Node groups whose failover an account may test in 24 hours (15 in the service); 0 is no limit."
    )
    most_manual_snapshots: int = Field(
        20, ge=0, description="Snapshots that may be taken of a node, or of a group in cluster mode, by request in 24 hours; 0 is no limit."
    )

    lost_host_after: float = Field(
        60.0, ge=0, description="Seconds of silence after which the nodes of a host move to another host of their zone, where one has room."
    )
    @property
    def agents_address(self) -> tuple[str, int] | None:
        """Host and port of the agents' door; None when there shall be none."""
        if self.agents_listen is None and self.join_token_file is None:
            return None
        host, _, port = (self.agents_listen or AGENTS_LISTEN).rpartition(":")
        return host.strip("[]"), int(port)

    @field_validator("notifications")
    @classmethod
    def _takes_notifications(cls, asked: str) -> str:
        delivery_place(asked, "sns")
        return asked

    @field_validator("log_delivery")
    @classmethod
    def _takes_logs(cls, asked: str) -> str:
        delivery_place(asked, "logs")
        return asked

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, asked: str) -> str:
        for origin in filter(None, map(str.strip, asked.split(","))):
            if not re.fullmatch(_ORIGIN, origin):
                raise ValueError(f"{origin} is no origin of a page; they are written as in https://console.example.com:8443, and * is none")
        return asked

    @field_validator("dns_suffix")
    @classmethod
    def _is_a_domain(cls, asked: str) -> str:
        return suffix(asked)

    @model_validator(mode="after")
    def _can_be_discovered(self) -> Self:
        if self.endpoints is Endpoints.NAMED and self.memcached_discovery is not MemcachedDiscovery.EVERY_NODE:
            raise ValueError("memcached-discovery must be every-node with named endpoints: nothing but the nodes listens there")
        return self

    def origins(self) -> tuple[str, ...]:
        """Origins of web pages elsewhere that may ask."""
        return tuple(filter(None, map(str.strip, self.cors_origins.split(","))))

    def audit_file(self) -> Path | None:
        """Where the audit is written; None where it is off."""
        if self.audit_log == "off":
            return None
        return (Path(self.audit_log) if self.audit_log else self.data_dir / "audit.jsonl").expanduser()

    def secrets_file(self) -> Path:
        """Where the key is that seals secrets."""
        return (self.secrets_key_file or self.data_dir / "secrets.key").expanduser()

    def style(self) -> EndpointStyle:
        """How endpoints are shown."""
        return EndpointStyle(self.endpoints, self.dns_suffix, served=bool(self.dns_listen))

    def policy(self) -> Policy:
        """The planner's intervals."""
        return Policy(
            settle=timedelta(seconds=self.election_settle),
            lost_after=timedelta(seconds=self.lost_host_after),
            most_failover_tests=self.most_failover_tests,
            most_manual_snapshots=self.most_manual_snapshots,
            style=self.style(),
        )

    def archive_url(self) -> str:
        """The URL of the archive of snapshots."""
        return self._place(self.snapshot_archive, "snapshots")

    def buckets_url(self) -> str:
        """The URL of the buckets of callers."""
        return self._place(self.buckets, "buckets")

    def _place(self, asked: str, otherwise: str) -> str:
        """A URL as it is; a folder as a URL, by default one of the data folder."""
        if "://" in asked:
            return asked
        return (Path(asked).expanduser() if asked else self.data_dir / otherwise).resolve().as_uri()

    def notified(self) -> DeliveryPlace:
        """Where notifications go."""
        return delivery_place(self.notifications, "sns")

    def logged(self) -> DeliveryPlace:
        """Where logs go."""
        return delivery_place(self.log_delivery, "logs")

    def url(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'control-plane.db'}"
