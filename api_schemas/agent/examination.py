"""What an agent shall find out about a file in an archive, and how far that is: a job with a name, which can be asked about again."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from api_schemas.agent.node import EngineBinary
from api_schemas.shape import Shape

NAME = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,119}$"
"""What an examination may be called: it names a folder, too."""


class ExaminationKind(StrEnum):
    """How much is done with the file."""

    CHECK = "check"      # the engine's own checker reads it
    RESTORE = "restore"  # an engine loads it aside and saves it again, and both files are compared


class ExaminationOrder(Shape):
    """Examine the file under ``key`` of an archive with the program ``binary``. The same name with the same order only asks how far it is.

    ``archive`` is the archive's URL, ``archive_id`` what tells it from another that is found there ("" where nothing else can be). The file
    shall have ``size`` bytes and that SHA-256, and ``keys`` keys, None where nobody knows; those that have expired are among them.
    ``parameters`` are the parameter group's values under the service's names. A ``clustered`` file is of a shard of a cluster, all of whose
    keys are in ``slots`` (such as ``0-99,200``; "" where nobody knows).
    """

    name: str = Field(pattern=NAME)
    kind: ExaminationKind
    binary: EngineBinary
    archive: str
    archive_id: str = ""
    key: str
    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    parameters: dict[str, str] = Field(default_factory=dict)
    clustered: bool = False
    slots: str = ""
    keys: int | None = None


class ExaminationPhase(StrEnum):
    """Whether there is a result yet."""

    RUNNING = "running"
    DONE = "done"        # the file is what it should be
    FAILED = "failed"    # it is not, or that could not be found out; ``problem`` says which
    UNKNOWN = "unknown"  # it was cancelled, and is being cleared away: asked for after that, it begins anew


class ExaminationState(Shape):
    """How far an examination is: what is done now in words, ``done`` of ``total`` bytes in this step, and whatever was found out so far.

    ``keys`` are those of all databases, ``databases`` the same by database; ``expires`` of them expire, and ``expired`` had already where
    the checker tells. ``functions`` are libraries; None where the checker counts none. ``digest`` is of the file, ``digest_after`` of what
    the engine saved when it had loaded it: they are the same when the engine holds what is in the file. Only a restore has digests.
    """

    name: str
    phase: ExaminationPhase
    step: str = ""
    done: int = 0
    total: int = 0
    problem: str | None = None
    keys: int | None = None
    databases: dict[int, int] = Field(default_factory=dict)
    expires: int | None = None
    expired: int | None = None
    functions: int | None = None
    digest: str | None = None
    digest_after: str | None = None
