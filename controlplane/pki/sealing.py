"""Secrets that must be known again, such as those of access keys: sealed with a key that is in a file of its own, not in the database."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.fernet import Fernet


class SealingError(Exception):
    """A secret cannot be sealed or opened; the text says why and what to do, and nothing of the secret."""


class Sealer:
    """Seals and opens secrets with the key in ``file``, which is made at first need, for its owner's eyes only."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._making = threading.Lock()
        self._fernet: Fernet | None = None

    def seal(self, secret: str) -> str:
        """What is kept of the secret. Raises SealingError."""
        return self._key().encrypt(secret.encode()).decode()

    def open(self, sealed: str) -> str:
        """The secret. Raises SealingError where it was sealed with another key, or the key is gone."""
        from cryptography.fernet import InvalidToken

        try:
            return self._key().decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise SealingError(f"it was sealed with another key than that in {self.file}. Give every control plane on the database the "
                               "same file with CACHEWRIGHT_SECRETS_KEY_FILE, or make a new access key") from None  # fmt: skip

    def _key(self) -> Fernet:
        with self._making:
            if self._fernet is None:
                self._fernet = self._load()
            return self._fernet

    def _load(self) -> Fernet:
        from cryptography.fernet import Fernet  # who has no access keys need not wait for it

        try:
            key = self._read() if self.file.exists() else self._made(Fernet.generate_key())
            return Fernet(key)
        except ValueError:
            raise SealingError(f"{self.file} holds no key for secrets; put the former file back, or delete it and make new access "
                               "keys") from None  # fmt: skip
        except OSError as failed:
            raise SealingError(f"the key for secrets in {self.file} cannot be used: {failed.strerror}") from failed

    def _read(self) -> bytes:
        mode = stat.S_IMODE(self.file.stat().st_mode)
        if mode & 0o077:
            raise SealingError(f"{self.file} can be read or changed by others (mode {mode:04o}); say chmod 600 {self.file}")
        return self.file.read_bytes().strip()

    def _made(self, key: bytes) -> bytes:
        """The key, once it is in the file. Of two programs that begin at once, the one that is first makes it for both."""
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)  # what a program that was killed has left
        descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as writing:
                writing.write(key + b"\n")
                writing.flush()
                os.fsync(writing.fileno())
            try:
                os.link(fresh, self.file)
            except FileExistsError:
                return self._read()
        finally:
            fresh.unlink()
        return key
