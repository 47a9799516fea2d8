"""The file with an access key that a control plane makes for itself, so that a guarded one can be started from a script."""

from __future__ import annotations

import os
from pathlib import Path

from api_schemas.credentials import Credentials
from api_schemas.faults import Fault
from controlplane.domain.access_key import Role
from controlplane.operations.keyring import Keyring
from controlplane.pki.secret import are_equal


class AccessKeyFileError(Exception):
    """The access key in the file cannot be used; the text says why and what to do."""


def have_access_key(file: Path, keyring: Keyring, account: str) -> None:
    """An admin's access key of this control plane is in the file: made now, for its owner's eyes only, unless the file exists already.

    Raises AccessKeyFileError for a file that holds anything else.
    """
    if file.exists():
        _must_be_ours(file, keyring)
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as failed:
        raise AccessKeyFileError(f"an access key cannot be written to {file}: {failed.strerror}") from failed
    with os.fdopen(descriptor, "w") as fresh:
        try:
            fresh.write(keyring.make(account, Role.ADMIN, "first").file)
        except Fault as refused:
            file.unlink()
            raise AccessKeyFileError(refused.message.rstrip(".")) from refused


def _must_be_ours(file: Path, keyring: Keyring) -> None:
    what_next = "delete the file to have a new key made, or choose another --access-key-file"
    try:
        given = Credentials.parse_file(file.read_text())
        known = keyring.find(given.id)
    except (OSError, UnicodeDecodeError) as failed:
        raise AccessKeyFileError(f"the access key in {file} cannot be read: {failed}") from failed
    except ValueError as why:
        raise AccessKeyFileError(f"the access key in {file} cannot be used: {why}; {what_next}") from None
    except Fault:
        raise AccessKeyFileError(f"the access key in {file} is none of this control plane, or has expired, or was revoked; "
                                 f"{what_next}") from None  # fmt: skip
    if not are_equal(given.secret, known.secret):
        raise AccessKeyFileError(f"the secret in {file} is not that of its access key; {what_next}")
