"""Packages of npm for tests: installed once, and kept in the temporary folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Any

import pytest


def folder_with(package: str) -> Path:
    """A folder in which scripts can import the package. Skips the test where there is no node."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    name = f"cachewright-{re.sub('[^a-z0-9]+', '-', package).strip('-')}-{os.getuid()}"
    folder = Path(tempfile.gettempdir()) / name
    if not (folder / "node_modules" / package / "package.json").exists():
        _install(package, folder)
    return folder


def told_by(script: str, folder: Path, *arguments: str) -> Any:
    """What a script, run in the folder, printed as JSON on its last line."""
    file = folder / f"script-{uuid.uuid4().hex}.mjs"
    file.write_text(script)
    try:
        command = ["node", str(file), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    finally:
        file.unlink()
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def _install(package: str, folder: Path) -> None:
    """Install beside and move into place, so that workers at the same time do not see half of it."""
    beside = Path(tempfile.mkdtemp(prefix="cachewright-npm-"))
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(beside), package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    try:
        beside.rename(folder)
    except OSError:  # another worker was first
        shutil.rmtree(beside)
