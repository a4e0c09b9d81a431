"""How often anybody may ask: generous for those with a token, tight for those with a wrong one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from edgeloop_shared.errors import RateLimitedError

REQUESTS_PER_SECOND = 2000.0
REQUEST_BURST = 4000.0
WRONG_TOKENS_PER_SECOND = 5.0
WRONG_TOKEN_BURST = 50.0


class Bucket:
    """A token bucket: `burst` at once, then `rate` a second. `clock` returns monotonic seconds."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._left = burst
        self._at = clock()

    def take(self) -> float:
        """Take one, and return zero; or return after how many seconds there will be one."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0


class Rates:
    """The buckets: one per token, and one for all that come with a wrong token."""

    def __init__(self, *, requests: float = REQUESTS_PER_SECOND, burst: float = REQUEST_BURST) -> None:
        self._requests = requests
        self._burst = burst
        self._tokens: dict[str, Bucket] = {}
        self._strangers = Bucket(WRONG_TOKENS_PER_SECOND, WRONG_TOKEN_BURST)

    def count(self, token: str) -> None:
        """Count a request of the token with this name. Raises `RateLimitedError`."""
        bucket = self._tokens.get(token)
        if bucket is None:
            bucket = self._tokens[token] = Bucket(self._requests, self._burst)
        _check(bucket.take(), "This token asks too often.", "One WebSocket carries events and logs without asking.")

    def count_wrong_token(self) -> None:
        """Count a request without a valid token. Raises `RateLimitedError`."""
        _check(self._strangers.take(), "Too many requests came with a wrong token.", "`edgeloop token new` makes one.")


def _check(seconds: float, message: str, hint: str) -> None:
    if seconds > 0:
        raise RateLimitedError(message, hint=hint, details={"retry_after": math.ceil(seconds)})
