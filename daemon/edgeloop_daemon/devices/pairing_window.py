"""One pairing window: who may try, how often, and who wins. No clock of its own, no sockets, no threads."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from edgeloop_daemon.store.ids import new_id
from edgeloop_shared.errors import BadProofError, NoPairingWindowError, RateLimitedError
from edgeloop_shared.pairing import CODE_TRIES, SECRET_BYTES, PairingTranscript, new_code, session_key
from edgeloop_shared.proofs import NONCE_BYTES, matches

WINDOW_SECONDS = 120.0
QR_TRIES_PER_SECOND = 2
MAX_PENDING = 16
MAX_PENDING_PER_ADDRESS = 2

Method = Literal["qr", "code"]


class WindowState(StrEnum):
    """`closed`: by the user, or by a newer window. `guessed`: too many wrong codes were tried."""

    OPEN = "open"
    PAIRED = "paired"
    EXPIRED = "expired"
    CLOSED = "closed"
    GUESSED = "guessed"


@dataclass(frozen=True)
class Attempt:
    """One device's attempt, from its `start` to its `finish` on the same connection."""

    sid: str
    address: str
    server_nonce: bytes = field(repr=False)
    transcript: PairingTranscript = field(repr=False)


class PairingWindow:
    """Accepts one device by the QR code's secret or the typed code, until it expires, is closed or was guessed at too often.

    `clock` returns monotonic seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self.code = new_code()
        self.secret = secrets.token_bytes(SECRET_BYTES)
        self.wrong_tries = 0
        self._clock = clock
        self._expires = clock() + seconds
        self._state = WindowState.OPEN
        self._is_claimed = False
        self._pending: dict[str, Attempt] = {}
        self._code_tries = 0
        self._wrong_codes = 0
        self._qr_tries: deque[float] = deque(maxlen=QR_TRIES_PER_SECOND)

    @property
    def state(self) -> WindowState:
        """The state now."""
        if self._state is WindowState.OPEN and not self._is_claimed and self._clock() >= self._expires:
            self._state = WindowState.EXPIRED
        return self._state

    @property
    def seconds_left(self) -> float:
        """How long the window would still be open."""
        return max(0.0, self._expires - self._clock())

    def begin(self, address: str) -> Attempt:
        """Admit an attempt. Raises `NoPairingWindowError` and `RateLimitedError`."""
        self._check_open()
        same_address = sum(attempt.address == address for attempt in self._pending.values())
        if len(self._pending) >= MAX_PENDING or same_address >= MAX_PENDING_PER_ADDRESS:
            raise RateLimitedError("Too many devices try to pair at once.", hint="Try again in a moment.")
        attempt = Attempt(new_id("s"), address, secrets.token_bytes(NONCE_BYTES), PairingTranscript())
        self._pending[attempt.sid] = attempt
        return attempt

    def abandon(self, attempt: Attempt) -> None:
        """Forget an attempt whose connection has gone."""
        self._pending.pop(attempt.sid, None)

    def spend_try(self, attempt: Attempt, method: Method) -> None:
        """Count a try before anything is verified, so that tries made at once are not free. An attempt has one.

        Raises `NoPairingWindowError` and `RateLimitedError`.
        """
        self._check_open()
        if attempt.sid not in self._pending:
            raise NoPairingWindowError("This pairing attempt was already used.", hint="Begin again on the device.")
        now = self._clock()
        if method == "qr":
            if len(self._qr_tries) == QR_TRIES_PER_SECOND and now - self._qr_tries[0] < 1.0:
                raise RateLimitedError("Too many tries with a QR code in one second.", hint="Try again in a moment.")
            self._qr_tries.append(now)
        else:
            if self._code_tries >= CODE_TRIES:
                raise RateLimitedError("Too many codes are tried at once.", hint="Try again in a moment.")
            self._code_tries += 1
        del self._pending[attempt.sid]

    def verify(self, attempt: Attempt, method: Method, stretched: bytes, client_nonce: bytes, proof: bytes) -> bytes:
        """Return the session key if `proof` is right, and let nobody else in from then on.

        `stretched` is `edgeloop_shared.pairing.stretch` of the secret or the code. Raises `BadProofError`, and
        `NoPairingWindowError` when another device was faster or the time is over.
        """
        self._check_open()
        key = session_key(stretched, attempt.server_nonce, client_nonce)
        if not matches(proof, attempt.transcript.device_proof(key)):
            self.wrong_tries += 1
            self._wrong_codes += method == "code"
            if self._wrong_codes >= CODE_TRIES:
                self._end(WindowState.GUESSED)
            raise BadProofError(
                "The code is not the one that the computer shows, or somebody stands in between.",
                hint="Compare the code and try again; after too many wrong tries `edgeloop pair` shows a new one.",
            )
        self._is_claimed = True
        return key

    def settle(self) -> None:
        """The device that was let in is stored: the window has done its work."""
        self._state = WindowState.PAIRED
        self._pending.clear()

    def close(self) -> None:
        """Let nobody in any more."""
        self._end(WindowState.CLOSED)

    def _end(self, state: WindowState) -> None:
        if self.state is WindowState.OPEN:
            self._state = state
            self._pending.clear()

    def _check_open(self) -> None:
        if self.state is not WindowState.OPEN or self._is_claimed:
            raise no_window()


def no_window() -> NoPairingWindowError:
    """Return the error for everybody who comes when no window is open; it does not say why."""
    return NoPairingWindowError(
        "No pairing window is open: the code was used, has expired, or was tried wrongly too often.",
        hint="Show a new code with `edgeloop pair` on the computer.",
    )
