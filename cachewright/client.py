"""``client("elasticache")``: a boto-style client of a Cachewright server, for code that knows boto3."""

from __future__ import annotations

from typing import Any

DEFAULT_URL = "http://127.0.0.1:8379"


def client(service: str = "elasticache", *, endpoint_url: str = DEFAULT_URL, region_name: str = "us-east-1",
           account_id: str = "000000000000", **options: Any) -> Any:  # fmt: skip
    """A boto3 client with everything set that a local server needs: operations, paginators, waiters and exceptions as in boto3.

    ``account_id`` (12 digits) and ``region_name`` choose the world the client sees. Raises ValueError for a service we do not have.
    """
    if service != "elasticache":
        raise ValueError(f"{service} is not a service of Cachewright; there is elasticache")
    import boto3

    given = {"aws_access_key_id": account_id, "aws_secret_access_key": "local"} | options
    return boto3.client("elasticache", endpoint_url=endpoint_url, region_name=region_name, **given)
