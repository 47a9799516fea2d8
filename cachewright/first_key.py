"""An access key made without a server: before the first start, or when nobody can get in any more."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from api_schemas.credentials import Credentials
from api_schemas.faults import Fault
from controlplane.clock import SystemClock
from controlplane.domain.access_key import Role
from controlplane.operations.keyring import Keyring
from controlplane.pki.sealing import Sealer
from controlplane.settings import Settings
from controlplane.store.folder import FolderInUseError, lock_folder
from controlplane.store.store import Store, StoreAwayError


class NoKeyMadeError(Exception):
    """No key was made; the text says why."""


def make(data_dir: Path, role: str, name: str | None, account: str | None, seconds: int | None) -> Credentials:
    """A key in the database of a control plane with this data folder, as its settings have it. Raises NoKeyMadeError."""
    try:
        settings = Settings(data_dir=data_dir.expanduser().resolve())
        with _alone(settings):
            store, clock = Store(settings.url()), SystemClock()
            try:
                lasts = None if seconds is None else timedelta(seconds=seconds)
                keyring = Keyring(store, clock, Sealer(settings.secrets_file()))
                return keyring.make(account or settings.account_id, Role(role), name, lasts)
            finally:
                store.close()
    except FolderInUseError as used:
        raise NoKeyMadeError(f"{used}; or leave --data-dir out, to ask that server for a key") from used
    except ValidationError as wrong:
        raise NoKeyMadeError("; ".join(str(error["msg"]) for error in wrong.errors(include_input=False))) from None
    except (StoreAwayError, DBAPIError) as away:
        raise NoKeyMadeError(f"the database cannot be opened: {away}".partition("\n")[0]) from away
    except Fault as refused:
        raise NoKeyMadeError(refused.message) from refused


def _alone(settings: Settings) -> contextlib.AbstractContextManager[object]:
    """A database of one process is that of its server, as long as that runs."""
    if settings.url().startswith("sqlite:"):
        return contextlib.closing(lock_folder(settings.data_dir))
    return contextlib.nullcontext()
