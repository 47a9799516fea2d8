"""The database: opened once, one transaction at a time for writers, its schema brought up to date on the way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.pool import NullPool, QueuePool
from sqlmodel import SQLModel

from controlplane.store import tables

HEAD = "0009"
"""The newest migration; a test compares it with the folder."""

MIGRATIONS = Path(__file__).with_name("migrations")

_MIGRATING = 0x0CAC4F  # the key of a lock that PostgreSQL knows

_POSTGRESQL = {
    "connect_timeout": 2,
    "tcp_user_timeout": 3000,  # milliseconds; a server whose host is cut off is given up
    "application_name": "cachewright",
    "options": "-c idle_in_transaction_session_timeout=1500 -c lock_timeout=5000 -c statement_timeout=10000",
}
"""How we connect to PostgreSQL. A writer of ours that stands still must not hold up the others: the server ends its session."""


def open_database(url: str) -> Engine:
    """An engine on the database at ``url``, its schema created or migrated. SQLite is set to write-ahead logging.

    Raises ValueError for a URL that makes no sense, SQLAlchemy's DBAPIError when the database cannot be opened.
    A commit of SQLite survives the end of this process at any moment; after a power loss the newest commits may be missing,
    which is consistent (``synchronous=NORMAL``): the engines they speak of are gone then as well.
    What is written is in no message of an error. Raises OSError for a file that cannot be made our own.
    """
    where = make_url(url)
    if where.get_backend_name() == "postgresql":
        engine = create_engine(
            where.set(drivername="postgresql+psycopg"), connect_args=_POSTGRESQL, pool_size=10, max_overflow=20, hide_parameters=True
        )
    else:
        if where.database and where.database != ":memory:":
            _keep_to_ourselves(Path(where.database))
        engine = create_engine(where, poolclass=QueuePool if not url.endswith(":memory:") else NullPool, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_at_once)
    _bring_up_to_date(engine)
    return engine


def _keep_to_ourselves(file: Path) -> None:
    """Nobody else reads the database: it holds passwords of engines. SQLite makes the files beside it as the database itself is."""
    os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    for each in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        if each.exists():
            each.chmod(0o600)


def _set_up_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, so that a writer takes its lock first
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_at_once(connection: Connection) -> None:
    reads = connection.get_execution_options().get("reads")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _bring_up_to_date(engine: Engine) -> None:
    """Of several control planes that start on a database together, one does it and the others wait."""
    if engine.dialect.name != "postgresql":
        _migrate_if_need_be(engine)
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET lock_timeout = '60s'"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _MIGRATING})
        try:
            _migrate_if_need_be(engine)
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _MIGRATING})
            connection.invalidate()  # its settings are not ours any more


def _migrate_if_need_be(engine: Engine) -> None:
    """A new database gets the newest schema at once; an older one is migrated (Alembic is loaded only then)."""
    found = inspect(engine).has_table("alembic_version")
    if not found:
        SQLModel.metadata.create_all(engine, tables=_our_tables())
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
            connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})
        return
    with engine.begin() as connection:
        current = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if current != HEAD:
        migrate(engine)


def migrate(engine: Engine) -> None:
    """Run every migration that the database has not seen."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _our_tables() -> list[Any]:
    rows = (value for value in vars(tables).values() if isinstance(value, type) and issubclass(value, SQLModel))
    return [row.__table__ for row in rows if hasattr(row, "__table__")]
