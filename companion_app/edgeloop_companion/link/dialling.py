"""What was met at the addresses where a daemon was dialled in vain."""

from __future__ import annotations

import errno
import ssl

from edgeloop_shared.errors import CertificateMismatchError, EdgeloopError
from edgeloop_shared.network_reports import MAX_ATTEMPTS, DialAttempt, DialOutcome

_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN)


class FailedAttempts:
    """The attempts since the last link, by address and port; of too many the oldest are forgotten."""

    def __init__(self) -> None:
        self._attempts: dict[tuple[str, int], DialAttempt] = {}

    def add(self, address: str, port: int, error: EdgeloopError) -> None:
        """Count an attempt that ended with `error`."""
        known = self._attempts.pop((address, port), None)
        times = known.times + 1 if known else 1
        self._attempts[address, port] = DialAttempt(address[:64], port, outcome_of(error), times)
        while len(self._attempts) > MAX_ATTEMPTS:
            del self._attempts[next(iter(self._attempts))]

    def all(self) -> tuple[DialAttempt, ...]:
        """Return them, the newest last."""
        return tuple(self._attempts.values())

    def clear(self) -> None:
        """Forget them: they are told."""
        self._attempts.clear()


def outcome_of(error: EdgeloopError) -> DialOutcome:
    """Return in one word why a daemon was not reached."""
    if isinstance(error, CertificateMismatchError):
        return "certificate"
    cause: BaseException | None = error.__cause__
    while cause is not None:
        if isinstance(cause, TimeoutError):
            return "timeout"
        if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError):
            number = getattr(getattr(cause, "os_error", cause), "errno", None)
            if number == errno.ECONNREFUSED:
                return "refused"
            if number == errno.ETIMEDOUT:
                return "timeout"
            if number in _UNREACHABLE:
                return "unreachable"
        cause = cause.__cause__
    return "failed"
