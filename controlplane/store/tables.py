"""The tables. A topology, a report or a group of a kind is one document in one row; what is looked up by has a column of its own."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, Text, UniqueConstraint, false
from sqlmodel import Field, SQLModel


class TopologyRow(SQLModel, table=True):
    """A replication group or a stand-alone cache cluster, as desired."""

    __tablename__ = "topologies"
    __table_args__ = (UniqueConstraint("account", "region", "kind", "name"),)

    uid: str = Field(primary_key=True)
    account: str
    region: str
    kind: str
    name: str
    version: int
    document: str = Field(sa_column=Column(Text, nullable=False))


class MemberRow(SQLModel, table=True):
    """A cache cluster id that is taken, by a stand-alone cache cluster or by a member of a replication group."""

    __tablename__ = "members"

    account: str = Field(primary_key=True)
    region: str = Field(primary_key=True)
    cache_cluster: str = Field(primary_key=True)
    uid: str = Field(index=True)


class ReportRow(SQLModel, table=True):
    """The newest report on a node or a reader route that changed something. ``kind`` is ``node`` or ``route``."""

    __tablename__ = "reports"

    key: str = Field(primary_key=True)
    kind: str
    uid: str = Field(index=True)
    seen_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    document: str = Field(sa_column=Column(Text, nullable=False))


class AddressRow(SQLModel, table=True):
    """An address that is drawn, and for whom. One that a foreign process holds stays drawn for nobody."""

    __tablename__ = "addresses"

    address: str = Field(primary_key=True)
    key: str = Field(index=True)


class AgentRow(SQLModel, table=True):
    """An agent that has introduced itself; ``draining`` when its host shall be emptied."""

    __tablename__ = "agents"

    agent: str = Field(primary_key=True)
    document: str = Field(sa_column=Column(Text, nullable=False))
    draining: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=false()))


class EventRow(SQLModel, table=True):
    """A sentence about a resource, as DescribeEvents returns it. ``because`` is ours, for explanations."""

    __tablename__ = "events"

    number: int | None = Field(default=None, primary_key=True)
    account: str = Field(index=True)
    region: str
    source_type: str
    source: str
    message: str
    because: str | None = None
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False, index=True))


class NotificationRow(SQLModel, table=True):
    """A notification that its topic has not taken yet; written in the transaction of its event."""

    __tablename__ = "notifications"

    number: int | None = Field(default=None, primary_key=True)
    account: str
    region: str
    topic: str = Field(index=True)
    id: str
    source_type: str
    source: str
    body: str
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class LogCursorRow(SQLModel, table=True):
    """How far one log of one node was handed over; ``topology`` is the uid of what the node belongs to."""

    __tablename__ = "log_cursors"

    node: str = Field(primary_key=True)
    log_type: str = Field(primary_key=True)
    topology: str = Field(index=True)
    document: str = Field(sa_column=Column(Text, nullable=False))


class TagRow(SQLModel, table=True):
    """One tag of one resource, by the resource's ARN."""

    __tablename__ = "tags"

    arn: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    text: str


class SubnetGroupRow(SQLModel, table=True):
    """A cache subnet group."""

    __tablename__ = "subnet_groups"

    account: str = Field(primary_key=True)
    region: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    document: str = Field(sa_column=Column(Text, nullable=False))


class ParameterGroupRow(SQLModel, table=True):
    """A cache parameter group of a caller's own; the default groups are not stored."""

    __tablename__ = "parameter_groups"

    account: str = Field(primary_key=True)
    region: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    document: str = Field(sa_column=Column(Text, nullable=False))


class SnapshotRow(SQLModel, table=True):
    """A snapshot; ``source`` is the uid of the topology that it was taken of."""

    __tablename__ = "snapshots"
    __table_args__ = (UniqueConstraint("account", "region", "name"),)

    uid: str = Field(primary_key=True)
    account: str
    region: str
    name: str
    source: str = Field(index=True)
    document: str = Field(sa_column=Column(Text, nullable=False))


class UserRow(SQLModel, table=True):
    """A user; of its passwords only hashes. The one that is in every account is not stored."""

    __tablename__ = "users"

    account: str = Field(primary_key=True)
    region: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    document: str = Field(sa_column=Column(Text, nullable=False))


class UserGroupRow(SQLModel, table=True):
    """A user group."""

    __tablename__ = "user_groups"

    account: str = Field(primary_key=True)
    region: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    document: str = Field(sa_column=Column(Text, nullable=False))


class InjectedFaultRow(SQLModel, table=True):
    """A fault that a caller has asked for, from its beginning until some time after its end."""

    __tablename__ = "faults"

    fault: str = Field(primary_key=True)
    account: str = Field(index=True)
    region: str
    active: bool = Field(index=True)
    started_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    document: str = Field(sa_column=Column(Text, nullable=False))


class AuthorityRow(SQLModel, table=True):
    """A certificate authority of our own, with its private key."""

    __tablename__ = "authorities"

    name: str = Field(primary_key=True)
    certificate: str = Field(sa_column=Column(Text, nullable=False))
    private_key: str = Field(sa_column=Column(Text, nullable=False))


class JoinTokenRow(SQLModel, table=True):
    """A token that agents join with; of its secret only the hash."""

    __tablename__ = "join_tokens"

    token: str = Field(primary_key=True)
    secret_hash: str
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    expires_at: datetime | None = Field(sa_column=Column(DateTime(timezone=True), nullable=True))
    revoked_at: datetime | None = Field(sa_column=Column(DateTime(timezone=True), nullable=True))


class CertifiedAgentRow(SQLModel, table=True):
    """An agent whose certificate holds, and the hash of its public key."""

    __tablename__ = "certified_agents"

    agent: str = Field(primary_key=True)
    zone: str
    key_print: str
    certified_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class AccessKeyRow(SQLModel, table=True):
    """An access key; of its secret only what the key in a file outside the database opens."""

    __tablename__ = "access_keys"

    access_key: str = Field(primary_key=True)
    account: str
    role: str
    name: str
    sealed_secret: str = Field(sa_column=Column(Text, nullable=False))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    expires_at: datetime | None = Field(sa_column=Column(DateTime(timezone=True), nullable=True))
    revoked_at: datetime | None = Field(sa_column=Column(DateTime(timezone=True), nullable=True))
    last_used: datetime | None = Field(sa_column=Column(DateTime(timezone=True), nullable=True))


class FactRow(SQLModel, table=True):
    """A fact about this control plane: its own id, the block of addresses it draws from."""

    __tablename__ = "facts"

    name: str = Field(primary_key=True)
    text: str


class ChangeRow(SQLModel, table=True):
    """Something that one of several control planes has written, for the others: which kind of thing, and its key."""

    __tablename__ = "changes"

    number: int | None = Field(default=None, sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True))
    kind: str
    key: str


class LeaderRow(SQLModel, table=True):
    """Which of several control planes decides. One row: ``term`` rises with every change of the leader, ``beat`` while one leads."""

    __tablename__ = "leader"

    number: int = Field(primary_key=True)
    plane: str
    url: str
    term: int = Field(sa_column=Column(BigInteger, nullable=False))
    beat: int = Field(sa_column=Column(BigInteger, nullable=False))
