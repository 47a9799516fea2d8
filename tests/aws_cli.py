"""The aws command line, unmodified, against a server of a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class AwsCli:
    """Runs ``aws elasticache …`` in one account of one server."""

    url: str
    account: str

    def __call__(self, operation: str, *arguments: str) -> Any:
        """What the command printed, read as JSON; None when it printed nothing. It must succeed."""
        done = self.run(operation, *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def text(self, operation: str, *arguments: str) -> str:
        """What the command printed with ``--output text``. It must succeed."""
        done = self.run(operation, *arguments, "--output", "text")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def refused(self, operation: str, *arguments: str) -> str:
        """What the command said when it failed."""
        done = self.run(operation, *arguments)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def run(self, operation: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command, as it ended."""
        program = Path(sys.executable).with_name("aws")
        if not program.exists():
            pytest.skip("the aws command line is not installed: pip install awscli")
        keys = {"AWS_ACCESS_KEY_ID": self.account, "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1"}
        nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"}
        command = [str(program), "--endpoint-url", self.url, "elasticache", operation, *arguments]
        environment = {**os.environ, **keys, **nothing, "AWS_MAX_ATTEMPTS": "1"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
