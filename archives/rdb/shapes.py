"""Summaries and cut files as JSON, between two processes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from archives.rdb.checking import Summary
from archives.rdb.cutting import CutFile
from archives.rdb.header import RdbVersion


def summary_to_dict(summary: Summary) -> dict[str, Any]:
    """A summary, as JSON can hold it."""
    return asdict(summary)


def summary_from_dict(said: dict[str, Any]) -> Summary:
    """The same summary again."""
    return Summary(
        **said
        | {
            "version": RdbVersion(**said["version"]),
            "keys": _by_database(said["keys"]),
            "functions": tuple(said["functions"]),
            "modules": tuple(said["modules"]),
            "importing": tuple((first, last) for first, last in said["importing"]),
        }
    )


def cut_file_to_dict(made: CutFile) -> dict[str, Any]:
    """A cut file, as JSON can hold it."""
    return asdict(made) | {"path": str(made.path)}


def cut_file_from_dict(said: dict[str, Any]) -> CutFile:
    """The same cut file again."""
    return CutFile(**said | {"path": Path(said["path"]), "version": RdbVersion(**said["version"]), "keys": _by_database(said["keys"])})


def _by_database(said: dict[str, int]) -> dict[int, int]:
    return {int(db): count for db, count in said.items()}
