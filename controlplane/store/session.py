"""The database: opened once, one transaction at a time for writers, its schema brought up to date on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.pool import NullPool, QueuePool
from sqlmodel import SQLModel

from controlplane.store import tables

HEAD = "0004"
"""The newest migration; a test compares it with the folder."""

MIGRATIONS = Path(__file__).with_name("migrations")


def open_database(url: str) -> Engine:
    """An engine on the database at ``url``, its schema created or migrated. SQLite is set to write-ahead logging.

    A commit of SQLite survives the end of this process at any moment; after a power loss the newest commits may be missing,
    which is consistent (``synchronous=NORMAL``): the engines they speak of are gone then as well.
    """
    engine = create_engine(url, poolclass=QueuePool if not url.endswith(":memory:") else NullPool)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_at_once)
    _bring_up_to_date(engine)
    return engine


def _set_up_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, so that a writer takes its lock first
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_at_once(connection: Connection) -> None:
    reads = connection.get_execution_options().get("reads")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _bring_up_to_date(engine: Engine) -> None:
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
