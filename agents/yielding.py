"""The yielding of a primary: its writers wait for its heir, and go on only when nobody can be elected for its word any more."""

from __future__ import annotations

import math
import time

from agents.engines.engine import Session
from api_schemas.agent.node import NodeSpec, Peer


class Yielding:
    """Of one engine. ``within`` is how long an heir is waited for, in seconds.

    A word that the heir has every write may have it elected, and that order may be on its way, or lie with a control plane that has died.
    So the word is taken back first, and writers go on when words were answered over ``heard_for`` seconds since: by then orders that an
    election led to have come. An engine that was ``adopted`` may be kept waiting by a former agent, which may have given its word: then
    orders must have come to this one as well.
    """

    def __init__(self, within: float, heard_for: float, *, adopted: bool) -> None:
        self.to: str | None = None
        """The key of the heir that has every write."""
        self.writers_wait = adopted
        self._within = within
        self._heard_for = heard_for
        self._must_be_told = adopted
        self._may_be_counted_on = adopted
        self._taken_back_at: float | None = None  # in seconds of the lease
        self._since: float | None = None
        self._gave_up = False

    def is_counted_on(self, heir: Peer | None) -> bool:
        """Whether this heir may have been elected because we said that it has every write."""
        return heir is not None and self._may_be_counted_on

    def keep(self, session: Session, spec: NodeSpec, *, proven: bool, told: bool, in_touch_for: float | None) -> None:
        """Make the heir ready while that is asked for; have writers go on when it no longer is, or was for too long. Raises as a session.

        The heir must be ``proven`` first: while writers wait, an engine asks its replicas for nothing, and whoever asks it to waits with
        them. ``told`` says that the order we act on has come to this agent, and not only to a former one.
        """
        if spec.yields_to is None:
            self._end(session)
            self._gave_up = False
        elif not self._gave_up:
            self._yield(session, spec, spec.yields_to, proven, in_touch_for, told=told)

    def _yield(self, session: Session, spec: NodeSpec, heir: Peer, proven: bool, in_touch_for: float | None, *, told: bool) -> None:
        now = time.monotonic()
        late = self._since is not None and now - self._since > self._within
        if proven and not late:
            self._since, self.writers_wait = self._since or now, True
            if session.yield_to(spec, heir):
                self.to, self._may_be_counted_on = heir.key, True
            else:
                self._take_back(in_touch_for)
            return
        self._take_back(in_touch_for)
        if not self._may_be_counted_on or ((told or not self._must_be_told) and self._was_heard(in_touch_for)):
            self._end(session)
            self._gave_up = late

    def _take_back(self, in_touch_for: float | None) -> None:
        if self.to is not None:
            self.to, self._taken_back_at = None, in_touch_for

    def _was_heard(self, in_touch_for: float | None) -> bool:
        """Whether words were answered for long enough since our word was taken back; a lease that ran out meanwhile counts anew."""
        if in_touch_for is None or in_touch_for == math.inf:
            return in_touch_for is not None
        before = self._taken_back_at
        return in_touch_for - (before if before is not None and before <= in_touch_for else 0.0) >= self._heard_for

    def _end(self, session: Session) -> None:
        if self.writers_wait:
            session.go_on()
        self.to, self.writers_wait, self._since, self._taken_back_at = None, False, None, None
        self._may_be_counted_on = self._must_be_told = False
