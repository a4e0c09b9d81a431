"""Pairing as a service: one window at a time, and the two requests by which a device comes in through it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edgeloop_daemon.devices.listener import Listener
from edgeloop_daemon.devices.pairing_window import (
    WINDOW_SECONDS,
    Attempt,
    Method,
    PairingWindow,
    WindowState,
    no_window,
)
from edgeloop_daemon.devices.registry import Registry
from edgeloop_daemon.events.event_log import record_event
from edgeloop_daemon.events.kinds import Occurrence, PairingClosed, PairingOpened, PairingTriedWrongly
from edgeloop_daemon.store.database import Database
from edgeloop_shared.codec import decode_json, encode_json
from edgeloop_shared.errors import BadProofError, NotFoundError, VersionMismatchError
from edgeloop_shared.messages import MAX_UNAUTHENTICATED_BYTES, PairFinish, PairFinished, PairStart, PairStarted
from edgeloop_shared.pairing import PAIRING_VERSIONS, PairingOffer, stretch
from edgeloop_shared.proofs import KEY_BYTES

_HOLDER = "pairing"


@dataclass(frozen=True)
class OpenedWindow:
    """A pairing window as its owner sees it. `device_id` is the device that has paired.

    `offer` is the QR code's text, `code` what a person types; `expires_at` is in seconds since the UNIX epoch.
    """

    code: str = field(repr=False)
    offer: str = field(repr=False)
    addresses: tuple[str, ...]
    port: int
    expires_at: float
    state: WindowState
    wrong_tries: int
    device_id: str | None


@dataclass
class _Current:
    window: PairingWindow
    offer: PairingOffer
    expires_at: float
    device_id: str | None = None
    stretched: dict[Method, asyncio.Task[bytes]] = field(default_factory=dict)
    expiry: asyncio.Task[None] | None = None
    has_ended: bool = False  # and the log of events says so


class Pairing:
    """The one window that is open now or was last, and what devices ask of it.

    `on_paired` is awaited with the new device's id before the device is answered. `clock` returns monotonic seconds.
    """

    def __init__(
        self,
        database: Database,
        registry: Registry,
        listener: Listener,
        certificate: bytes,
        host_name: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._registry = registry
        self._listener = listener
        self._certificate = certificate
        self._host_name = host_name
        self._clock = clock
        self._current: _Current | None = None
        self._changed = asyncio.Event()

    async def open(self, seconds: float = WINDOW_SECONDS) -> OpenedWindow:
        """Open a window and the device port; an earlier window that is still open closes. Raises `PortInUseError`."""
        await self.close()
        await self._listener.hold(_HOLDER)
        window = PairingWindow(seconds, self._clock)
        offer = PairingOffer(self._listener.port or 0, self._listener.addresses, self._certificate, window.secret)
        self._current = current = _Current(window, offer, time.time() + seconds)
        current.expiry = asyncio.create_task(self._expire(current))
        await self._tell(PairingOpened(current.expires_at))
        self._notify()
        return self.current()

    def current(self) -> OpenedWindow:
        """Return the window that is open or was last. Raises `NotFoundError` when there was none."""
        current = self._current
        if current is None:
            raise NotFoundError("No pairing window was opened.", hint="`edgeloop pair` opens one.")
        window = current.window
        return OpenedWindow(
            code=window.code,
            offer=current.offer.text(),
            addresses=current.offer.addresses,
            port=current.offer.port,
            expires_at=current.expires_at,
            state=window.state,
            wrong_tries=window.wrong_tries,
            device_id=current.device_id,
        )

    async def wait(self, seconds: float) -> OpenedWindow:
        """Return the window once it changes (a wrong try, or its end), at the latest after that time."""
        before = self.current()
        deadline = asyncio.get_running_loop().time() + seconds
        while before.state is WindowState.OPEN and before == self.current():
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                break
        return self.current()

    async def close(self) -> None:
        """Close the window; nothing happens when none is open."""
        current = self._current
        if current is None:
            return
        current.window.close()
        if current.expiry is not None:
            current.expiry.cancel()
        await self._listener.release(_HOLDER)
        await self._tell_end(current)
        self._notify()

    def start(self, address: str, body: bytes) -> tuple[Attempt, bytes, float]:
        """Begin a device's attempt; return it, the answer's body and the seconds that the device has for its `finish`.

        Raises `MessageError`, `NoPairingWindowError`, `RateLimitedError`, `VersionMismatchError`.
        """
        current = self._open_window()
        message = decode_json(PairStart, body, max_bytes=MAX_UNAUTHENTICATED_BYTES)
        common = set(message.versions) & set(PAIRING_VERSIONS)
        if not common:
            raise VersionMismatchError(
                "The device and this computer speak no common version of pairing.",
                hint="Update the older of the two.",
                details={"ours": list(PAIRING_VERSIONS), "theirs": list(message.versions)},
            )
        attempt = current.window.begin(address)
        answer = encode_json(PairStarted(attempt.sid, attempt.server_nonce.hex(), self._host_name, max(common)))
        attempt.transcript.add(body)
        attempt.transcript.add(answer)
        return attempt, answer, current.window.seconds_left

    def abandon(self, attempt: Attempt) -> None:
        """Forget an attempt whose connection has gone."""
        if self._current is not None:
            self._current.window.abandon(attempt)

    async def finish(self, attempt: Attempt | None, body: bytes, proof: str) -> tuple[bytes, bytes]:
        """Return the answer's body and the daemon's proof; the device is paired then.

        `attempt` is the one that this connection has begun, `proof` the device's in hex. Raises `MessageError`,
        `NoPairingWindowError`, `RateLimitedError`, `BadProofError`.
        """
        current = self._open_window()
        message = decode_json(PairFinish, body, max_bytes=MAX_UNAUTHENTICATED_BYTES)
        if attempt is None or message.sid != attempt.sid:
            raise BadProofError("This connection has not begun the pairing attempt that it finishes.")
        window = current.window
        window.spend_try(attempt, message.method)
        stretched = await self._stretched(current, message.method)
        attempt.transcript.add(body)
        try:
            key = window.verify(
                attempt, message.method, stretched, bytes.fromhex(message.client_nonce), _proof_bytes(proof)
            )
        except BadProofError:
            await self._tell(PairingTriedWrongly(window.wrong_tries))
            if window.state is not WindowState.OPEN:
                await self.close()
            self._notify()
            raise
        try:
            device = await self._registry.add(message.info)
            await self._listener.hold(device.id)
        except BaseException:
            window.close()
            raise
        current.device_id = device.id
        window.settle()
        await self.close()
        answer = encode_json(PairFinished(device.id, device.key.hex()))
        attempt.transcript.add(answer)
        return answer, attempt.transcript.daemon_proof(key)

    async def _stretched(self, current: _Current, method: Method) -> bytes:
        """Stretch the window's secret or code, once per window, in a thread: it takes 50 ms and 16 MiB."""
        task = current.stretched.get(method)
        if task is None:
            secret = current.window.secret if method == "qr" else current.window.code.encode()
            task = asyncio.create_task(asyncio.to_thread(stretch, secret, self._certificate))
            current.stretched[method] = task
        return await asyncio.shield(task)

    async def _expire(self, current: _Current) -> None:
        await asyncio.sleep(current.window.seconds_left + 0.01)  # a timer may fire a moment too early
        await self._listener.release(_HOLDER)
        await self._tell_end(current)
        self._notify()

    async def _tell_end(self, current: _Current) -> None:
        if not current.has_ended:
            current.has_ended = True
            await self._tell(PairingClosed(current.window.state.value))

    async def _tell(self, occurrence: Occurrence) -> None:
        await self._database.write(lambda db: record_event(db, occurrence))

    def _open_window(self) -> _Current:
        if self._current is None or self._current.window.state is not WindowState.OPEN:
            raise no_window()
        return self._current

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _proof_bytes(text: str) -> bytes:
    """Return the proof's bytes; what is no hex becomes a proof that never matches, so that it costs a try as well."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return bytes(KEY_BYTES)
