"""The file with a join token that a control plane makes for itself, so that the first agents can be started from a script."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from api_schemas.agent.join_token import JoinToken
from controlplane.operations.enrolment import Enrolment, TokenUnknownError

log = logging.getLogger("cachewright.agents")


class JoinTokenError(Exception):
    """The join token in the file cannot be used; the text says why and what to do."""


def have_join_token(file: Path, enrolment: Enrolment) -> None:
    """A token of this control plane is in the file: made now, for its owner's eyes only, unless the file exists already.

    Raises JoinTokenError for a file that holds anything else.
    """
    if file.exists():
        _must_be_ours(file, enrolment)
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as failed:
        raise JoinTokenError(f"the join token cannot be written to {file}: {failed}") from failed
    with os.fdopen(descriptor, "w") as fresh:
        fresh.write(enrolment.new_token().text + "\n")


def _must_be_ours(file: Path, enrolment: Enrolment) -> None:
    try:
        token = JoinToken.parse(file.read_text())
        status = enrolment.status_of(token)
    except (OSError, UnicodeDecodeError) as failed:
        raise JoinTokenError(f"the join token cannot be read from {file}: {failed}") from failed
    except (ValueError, TokenUnknownError) as why:
        what_next = "Delete the file to have a new one made, or choose another --join-token-file"
        raise JoinTokenError(f"the join token in {file} cannot be used: {why}. {what_next}") from why
    if status != "valid":
        log.warning("nobody can join with the token in the file: it is %s  file=%s token=%s", status, file, token.id)
