"""``client("elasticache")`` and ``client("lab")``: boto-style clients of a Cachewright server, for code that knows boto3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_URL = "http://127.0.0.1:8379"
SERVICES = ("elasticache", "lab")

_models: Any = None


def client(service: str = "elasticache", *, endpoint_url: str = DEFAULT_URL, region_name: str = "us-east-1",
           account_id: str | None = None, access_key_file: Path | None = None, **options: Any) -> Any:  # fmt: skip
    """A client as boto3 makes them, with everything set that a local server needs: operations, paginators, waiters, exceptions.

    ``elasticache`` is the service itself, with waiters that look every half second; ``lab`` is what is ours beyond it: agents,
    zones, the processes behind nodes, and injected faults. ``account_id`` (12 digits) and ``region_name`` choose the world that the client
    sees of an open server. A guarded one is asked with the access key in ``access_key_file``, whose account it is; without that, and
    without an account, with that of ``CACHEWRIGHT_ACCESS_KEY_ID`` and ``CACHEWRIGHT_SECRET_ACCESS_KEY``, or of AWS's variables if it is
    one of ours. ``options`` are those of ``boto3.client``. The developer's own AWS profile and proxies are left alone.
    Raises ValueError for a service that we do not have, or an account that is none, CredentialsError for a file without a key.
    """
    if service not in SERVICES:
        raise ValueError(f"{service} is not a service of Cachewright; there are {' and '.join(SERVICES)}")
    if account_id is not None and not (len(account_id) == 12 and account_id.isascii() and account_id.isdigit()):
        raise ValueError(f"{account_id!r} is not an account id; they have 12 digits")
    from botocore.config import Config

    direct = Config(proxies={})
    config = direct.merge(options.pop("config")) if options.get("config") else direct
    from cachewright.credentials import found

    given = found(access_key_file) if account_id is None or access_key_file is not None else None
    keys = {"aws_access_key_id": account_id or "000000000000", "aws_secret_access_key": "local"}
    if given is not None:
        keys = {"aws_access_key_id": given.id, "aws_secret_access_key": given.secret}
    made = _session().create_client(service, endpoint_url=endpoint_url, region_name=region_name, config=config, **keys | options)
    if service == "lab":
        from cachewright.models import say_errors_as_aws_does

        made.meta.events.register("before-parse.lab", say_errors_as_aws_does)
    return made


def _session() -> Any:
    """A botocore session that knows our models, and none of the settings that the developer keeps for the cloud."""
    import os

    from botocore.session import Session

    from cachewright.models import Models

    global _models
    if _models is None:
        _models = Models()
    nowhere = (None, None, os.devnull, None)
    session = Session(session_vars={"profile": (None, None, None, None), "config_file": nowhere, "credentials_file": nowhere})
    session.register_component("data_loader", _models)
    return session
