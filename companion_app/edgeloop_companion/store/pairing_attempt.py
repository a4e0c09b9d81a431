"""Pairing as its user sees it: from the camera or the typed code to a paired computer, or to what went wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from edgeloop_companion.companion import Companion
from edgeloop_companion.link.pairing import AskAllow, Pairing
from edgeloop_companion.scanning.camera import Camera, CameraRefusedError, NoCameraError
from edgeloop_companion.scanning.decoder import Decoder
from edgeloop_companion.scanning.frame import Frame
from edgeloop_companion.scanning.scan import scan
from edgeloop_companion.store.observable import Observable
from edgeloop_shared.addresses import parse_address, show_address
from edgeloop_shared.errors import (
    BadProofError,
    CertificateMismatchError,
    DaemonUnreachableError,
    EdgeloopError,
    ImpostorError,
    InvalidInputError,
    NoPairingWindowError,
    RateLimitedError,
    VersionMismatchError,
)
from edgeloop_shared.pairing import CODE_TRIES, PairingOffer, parse_code, parse_offer


class Problem(StrEnum):
    """What can go wrong; the screen has words and a remedy for each."""

    WRONG_CODE = "wrong-code"
    EXPIRED = "expired"
    TOO_MANY_TRIES = "too-many-tries"
    UNREACHABLE = "unreachable"
    CERTIFICATE = "certificate"
    IN_BETWEEN = "in-between"
    VERSION = "version"
    REFUSED = "refused"
    BUSY = "busy"
    NO_CAMERA = "no-camera"
    CAMERA_REFUSED = "camera-refused"
    NOT_A_CODE = "not-a-code"
    NOT_AN_ADDRESS = "not-an-address"
    NOT_AN_OFFER = "not-an-offer"
    OTHER = "other"


@dataclass(frozen=True)
class Idle:
    """Nothing is going on."""


@dataclass(frozen=True)
class Scanning:
    """The camera looks for a code; `saw_another` tells that it has seen one which is not edgeloop's."""

    saw_another: bool = False


@dataclass(frozen=True)
class Connecting:
    """The computer is dialled at this address."""

    address: str


@dataclass(frozen=True)
class AskingPermission:
    """The user is asked whether the computer called `host_name`, which was reached at `address`, may run code here.

    `others` are its other addresses.
    """

    host_name: str
    address: str
    others: tuple[str, ...]


@dataclass(frozen=True)
class Finishing:
    """The user has allowed it, and both sides prove who they are."""

    host_name: str


@dataclass(frozen=True)
class Done:
    """The computer is paired."""

    host_name: str
    device_id: str


@dataclass(frozen=True)
class Failed:
    """It did not go; `details` are the words of the error, in English, and `code` is its code if it has one."""

    problem: Problem
    details: str
    code: str = ""


Step = Idle | Scanning | Connecting | AskingPermission | Finishing | Done | Failed


class PairingAttempt:
    """One attempt at a time; a new one takes the place of the one before. It runs on the event loop."""

    def __init__(self, companion: Companion, camera: Camera, decoder: Decoder) -> None:
        self._companion = companion
        self._camera = camera
        self._decoder = decoder
        self._current: _Attempt | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._wrong_codes: Counter[tuple[str, int]] = Counter()
        self.step = Observable[Step](Idle())
        self.picture = Observable[Frame | None](None)
        """What the camera sees, while it scans."""
        self.torch = Observable[bool | None](None)
        """Whether the camera's light is on; None where there is none."""

    def scan(self) -> None:
        """Look for a code with the camera, and pair by it."""
        self._begin(self._pair_by_scan)

    def take_offer(self, text: str) -> None:
        """Pair by the text of a QR code, which was pasted."""
        self._begin(lambda attempt: self._pair_by_text(attempt, text))

    def type_code(self, address: str, code: str) -> None:
        """Pair by what was typed: `HOST:PORT` and the code that the computer shows."""
        self._begin(lambda attempt: self._pair_by_code(attempt, address, code))

    def answer(self, *, is_allowed: bool) -> None:
        """Answer the question of `AskingPermission`."""
        if self._current is not None and self._current.permission is not None and not self._current.permission.done():
            self._current.permission.set_result(is_allowed)

    def cancel(self) -> None:
        """End what is going on. A computer that has let this device in already is forgotten again."""
        attempt, self._current = self._current, None
        if attempt is not None and attempt.task is not None and not attempt.is_allowed:
            attempt.task.cancel()
        self._show(Idle())

    def switch_torch(self, *, is_on: bool) -> None:
        """Switch the camera's light."""
        if self.torch.value is not None:
            self._camera.switch_torch(is_on=is_on)
            self.torch.set(is_on)

    async def close(self) -> None:
        """Cancel, and wait until nothing is left of it."""
        self.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, pair: Callable[[_Attempt], Awaitable[Pairing]]) -> None:
        self.cancel()
        attempt = self._current = _Attempt()
        attempt.task = asyncio.create_task(self._run(attempt, pair), name="pairing")
        self._tasks.add(attempt.task)
        attempt.task.add_done_callback(self._tasks.discard)

    async def _run(self, attempt: _Attempt, pair: Callable[[_Attempt], Awaitable[Pairing]]) -> None:
        step: Step
        try:
            pairing = await pair(attempt)
        except _FailedError as error:
            step = error.step
        except EdgeloopError as error:
            step = Failed(self._problem(attempt, error), str(error), error.code)
        else:
            if attempt is not self._current:
                await self._companion.forget(pairing.device_id)
                return
            step = Done(pairing.host_name, pairing.device_id)
        if attempt is self._current:
            self._current = None
            self._show(step)

    async def _pair_by_scan(self, attempt: _Attempt) -> Pairing:
        def take(texts: tuple[str, ...]) -> PairingOffer | None:
            for text in texts:
                try:
                    return parse_offer(text)
                except InvalidInputError:
                    self._step(attempt, Scanning(saw_another=True))
            return None

        def show(frame: Frame) -> None:
            if attempt is self._current:
                self.picture.set(frame)
                if self.torch.value is None and self._camera.has_torch:
                    self.torch.set(False)

        self._step(attempt, Scanning())
        try:
            offer = await scan(self._camera, self._decoder, show=show, take=take)
        except NoCameraError as error:
            raise _FailedError(Problem.NO_CAMERA, str(error)) from None
        except CameraRefusedError as error:
            raise _FailedError(Problem.CAMERA_REFUSED, str(error)) from None
        return await self._pair_by_offer(attempt, offer)

    async def _pair_by_text(self, attempt: _Attempt, text: str) -> Pairing:
        try:
            offer = parse_offer(text)
        except InvalidInputError as error:
            raise _FailedError(Problem.NOT_AN_OFFER, str(error)) from None
        return await self._pair_by_offer(attempt, offer)

    async def _pair_by_offer(self, attempt: _Attempt, offer: PairingOffer) -> Pairing:
        def dial(address: str) -> None:
            attempt.address = show_address(address, offer.port)
            self._step(attempt, Connecting(attempt.address))

        others = tuple(show_address(address, offer.port) for address in offer.addresses)
        return await self._companion.pair_by_offer(offer, self._asking(attempt, others), on_dial=dial)

    async def _pair_by_code(self, attempt: _Attempt, address: str, code: str) -> Pairing:
        try:
            host, port = parse_address(address)
        except InvalidInputError as error:
            raise _FailedError(Problem.NOT_AN_ADDRESS, str(error)) from None
        try:
            code = parse_code(code)
        except InvalidInputError as error:
            raise _FailedError(Problem.NOT_A_CODE, str(error)) from None
        attempt.address = show_address(host, port)
        attempt.typed = host, port
        self._step(attempt, Connecting(attempt.address))
        return await self._companion.pair_by_code(host, port, code, self._asking(attempt, ()))

    def _asking(self, attempt: _Attempt, addresses: tuple[str, ...]) -> AskAllow:
        async def ask(host_name: str) -> bool:
            attempt.permission = asyncio.get_running_loop().create_future()
            others = tuple(address for address in addresses if address != attempt.address)
            self._step(attempt, AskingPermission(host_name, attempt.address, others))
            attempt.is_allowed = await attempt.permission
            if not attempt.is_allowed:
                raise _FailedError(Problem.REFUSED, "")
            self._step(attempt, Finishing(host_name))
            return True

        return ask

    def _problem(self, attempt: _Attempt, error: EdgeloopError) -> Problem:
        match error:
            case ImpostorError():
                return Problem.IN_BETWEEN
            case CertificateMismatchError():
                return Problem.CERTIFICATE
            case BadProofError() if attempt.typed is not None:
                self._wrong_codes[attempt.typed] += 1
                return Problem.WRONG_CODE if self._wrong_codes[attempt.typed] < CODE_TRIES else Problem.TOO_MANY_TRIES
            case BadProofError() | NoPairingWindowError():  # what was scanned is the code of an earlier window
                self._wrong_codes.clear()
                return Problem.EXPIRED
            case RateLimitedError():
                return Problem.BUSY
            case VersionMismatchError():
                return Problem.VERSION
            case DaemonUnreachableError():
                return Problem.UNREACHABLE if attempt.permission is None else Problem.EXPIRED
        return Problem.OTHER

    def _step(self, attempt: _Attempt, step: Step) -> None:
        if attempt is self._current:
            self._show(step)

    def _show(self, step: Step) -> None:
        if not isinstance(step, Scanning):
            self.picture.set(None)
            self.torch.set(None)
        self.step.set(step)


class _Attempt:
    """What is known of one attempt. Once it `is_allowed` the computer may let this device in at any moment."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.address = ""
        self.typed: tuple[str, int] | None = None
        self.permission: asyncio.Future[bool] | None = None
        self.is_allowed = False


class _FailedError(Exception):
    """Ends an attempt with what is shown."""

    def __init__(self, problem: Problem, details: str) -> None:
        super().__init__(details)
        self.step = Failed(problem, details)
