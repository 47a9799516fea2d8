"""What to try in another terminal while the demo stays up."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import which
from typing import Any


def what_next(url: str, group: str, endpoint: dict[str, Any], nodes: list[dict[str, Any]]) -> str:
    """Commands that work as they are written, from the folder where the demo was started."""
    cachewright = _ours("cachewright")
    primary = next((node["Node"] for node in nodes if node.get("Role") == "primary"), group)
    return f"""
It stays up until Ctrl-C. In another terminal, try:

  export AWS_ACCESS_KEY_ID=000000000000 AWS_SECRET_ACCESS_KEY=x AWS_DEFAULT_REGION=us-east-1
  export AWS_ENDPOINT_URL={url} CACHEWRIGHT_URL={url}

  {cachewright} fault crash {primary}          # the primary again; what else can be broken: {cachewright} fault --help
  {cachewright} history {group}                  # who was elected instead of whom, among whom, and why
  {cachewright} describe {group}
  {cachewright} events --follow

  redis-cli -h {endpoint["Address"]} -p {endpoint["Port"]} get order:1
  aws elasticache describe-replication-groups --replication-group-id {group}
  {_ours("python")} -c "import boto3; print(boto3.client('elasticache').describe_cache_clusters()['CacheClusters'])"

  curl {url}/v1/replication-groups/{group}
  curl -H 'Prefer: wait=30' -H 'Content-Type: application/json' {url}/v1/cache-clusters \\
       -d '{{"cache_cluster_id": "sessions", "engine": "memcached", "num_cache_nodes": 3, "az_mode": "cross-az"}}'

API pages: {url}/docs
"""


def _ours(program: str) -> str:
    """How to call a program of this virtual environment from a shell that has not entered it."""
    path = Path(sys.executable).parent / program
    if which(program) == str(path):
        return program
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
