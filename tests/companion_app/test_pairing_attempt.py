"""Pairing as the screen sees it, step by step, without a screen: against a real device port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgeloop_companion.companion import Companion
from edgeloop_companion.scanning.camera import Camera, CameraRefusedError, NoCamera, NoCameraError
from edgeloop_companion.scanning.folder_frames import FolderFrames
from edgeloop_companion.scanning.frame import Frame
from edgeloop_companion.scanning.zxing_decoder import ZxingDecoder
from edgeloop_companion.store.pairing_attempt import (
    AskingPermission,
    Connecting,
    Done,
    Failed,
    Finishing,
    Idle,
    PairingAttempt,
    Problem,
    Scanning,
    Step,
)
from edgeloop_shared.pairing import new_code, show_code

from .companion_fixtures import companion_at
from .link_peer import LinkPeer
from .shown_codes import show_nothing, show_text, until
from .test_companion_knocks import closed_port
from .test_companion_pairing import in_between


@pytest.fixture
async def peer() -> AsyncIterator[LinkPeer]:
    async with LinkPeer(host_name="laptop").serving() as peer:
        yield peer


@pytest.fixture
async def companion(tmp_path: Path) -> AsyncIterator[Companion]:
    async with companion_at(tmp_path / "state") as companion:
        yield companion


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """What the camera sees: nothing, at first."""
    folder = tmp_path / "frames"
    show_nothing(folder)
    return folder


@pytest.fixture
async def attempt(companion: Companion, frames: Path) -> AsyncIterator[PairingAttempt]:
    attempt = with_camera(companion, FolderFrames(frames, frame_seconds=0.001))
    yield attempt
    await attempt.close()


def with_camera(companion: Companion, camera: Camera) -> PairingAttempt:
    return PairingAttempt(companion, camera, ZxingDecoder())


async def step(attempt: PairingAttempt, kind: type[Step]) -> Step:
    """Wait for a step of that kind; an attempt that has failed does not get there."""
    found = await until(attempt.step, lambda step: isinstance(step, kind | Failed))
    assert isinstance(found, kind), found
    return found


async def problem(attempt: PairingAttempt) -> Problem:
    failed = await until(attempt.step, lambda step: isinstance(step, Failed))
    assert isinstance(failed, Failed)
    return failed.problem


async def test_a_code_that_is_scanned_pairs_once_the_user_allows_it(
    peer: LinkPeer, companion: Companion, attempt: PairingAttempt, frames: Path
) -> None:
    steps: list[Step] = []
    attempt.step.watch(steps.append)
    attempt.scan()
    await until(attempt.picture, lambda picture: picture is not None)
    await asyncio.to_thread(show_text, frames, peer.offer().text())
    asked = await step(attempt, AskingPermission)
    assert asked == AskingPermission("laptop", f"127.0.0.1:{peer.port}", ())
    assert not peer.devices
    attempt.answer(is_allowed=True)
    done = await step(attempt, Done)
    assert done == Done("laptop", next(iter(peer.devices)))
    assert [host.pairing.device_id for host in companion.hosts] == list(peer.devices)
    assert steps == [
        Idle(),
        Scanning(),
        Connecting(f"127.0.0.1:{peer.port}"),
        asked,
        Finishing("laptop"),
        done,
    ]
    assert attempt.picture.value is None


async def test_another_code_is_told_and_scanning_goes_on(peer: LinkPeer, attempt: PairingAttempt, frames: Path) -> None:
    await asyncio.to_thread(show_text, frames, "https://example.org/menu")
    attempt.scan()
    await until(attempt.step, lambda step: step == Scanning(saw_another=True))
    await asyncio.to_thread(show_text, frames, peer.offer().text())
    await step(attempt, AskingPermission)


async def test_the_code_of_another_version_is_told_apart(peer: LinkPeer, attempt: PairingAttempt, frames: Path) -> None:
    await asyncio.to_thread(show_text, frames, peer.offer().text().replace("//P1/", "//P2/"))
    attempt.scan()
    assert await problem(attempt) is Problem.VERSION


async def test_a_code_that_is_typed_pairs(peer: LinkPeer, attempt: PairingAttempt) -> None:
    code = new_code()
    peer.window = code.encode()
    attempt.type_code(f" 127.0.0.1:{peer.port}", show_code(code).lower())
    await step(attempt, AskingPermission)
    attempt.answer(is_allowed=True)
    await step(attempt, Done)


async def test_the_text_of_an_offer_that_is_pasted_pairs(peer: LinkPeer, attempt: PairingAttempt) -> None:
    attempt.take_offer(peer.offer().text() + "\n")
    await step(attempt, AskingPermission)
    attempt.answer(is_allowed=True)
    await step(attempt, Done)


async def test_an_address_at_which_nobody_answers_holds_nobody_up(peer: LinkPeer, attempt: PairingAttempt) -> None:
    steps: list[Step] = []
    attempt.step.watch(steps.append)
    attempt.take_offer(replace(peer.offer(), addresses=("127.0.0.2", "127.0.0.1")).text())
    asked = await step(attempt, AskingPermission)
    assert [one.address for one in steps if isinstance(one, Connecting)] == [f"127.0.0.1:{peer.port}"]
    assert asked == AskingPermission("laptop", f"127.0.0.1:{peer.port}", (f"127.0.0.2:{peer.port}",))


async def test_all_addresses_are_tried_when_none_answers(peer: LinkPeer, attempt: PairingAttempt) -> None:
    steps: list[Step] = []
    attempt.step.watch(steps.append)
    attempt.take_offer(replace(peer.offer(), addresses=("127.0.0.2", "127.0.0.3")).text())
    assert await problem(attempt) is Problem.UNREACHABLE
    assert [one.address for one in steps if isinstance(one, Connecting)] == [
        f"127.0.0.2:{peer.port}",
        f"127.0.0.3:{peer.port}",
    ]


async def test_without_permission_nothing_is_paired(
    peer: LinkPeer, companion: Companion, attempt: PairingAttempt
) -> None:
    attempt.take_offer(peer.offer().text())
    await step(attempt, AskingPermission)
    attempt.answer(is_allowed=False)
    assert await problem(attempt) is Problem.REFUSED
    assert (dict(peer.devices), companion.pairings) == ({}, ())


async def test_a_wrong_code_is_told_and_after_five_a_new_one_is_asked_for(
    peer: LinkPeer, attempt: PairingAttempt
) -> None:
    peer.window = b"000000000000"
    problems = []
    for _ in range(5):
        attempt.type_code(f"127.0.0.1:{peer.port}", "111111111111")
        await step(attempt, AskingPermission)
        attempt.answer(is_allowed=True)
        problems.append(await problem(attempt))
    assert problems == [Problem.WRONG_CODE] * 4 + [Problem.TOO_MANY_TRIES]


@pytest.mark.parametrize(
    ("address", "code", "expected"),
    [
        ("192.168.1.7", "4G7K-0QXM-92ZB", Problem.NOT_AN_ADDRESS),
        ("192.168.1.7:0", "4G7K-0QXM-92ZB", Problem.NOT_AN_ADDRESS),
        ("user@host:1", "4G7K-0QXM-92ZB", Problem.NOT_AN_ADDRESS),
        ("", "4G7K-0QXM-92ZB", Problem.NOT_AN_ADDRESS),
        ("127.0.0.1:1", "4G7K-0QXM", Problem.NOT_A_CODE),
    ],
)
async def test_what_is_neither_address_nor_code_is_told_before_anything_is_dialled(
    attempt: PairingAttempt, address: str, code: str, expected: Problem
) -> None:
    attempt.type_code(address, code)
    assert await problem(attempt) is expected


async def test_a_text_that_is_no_offer_is_told(attempt: PairingAttempt) -> None:
    attempt.take_offer("hello")
    assert await problem(attempt) is Problem.NOT_AN_OFFER


async def test_an_offer_that_has_expired_is_told(peer: LinkPeer, attempt: PairingAttempt) -> None:
    offer = peer.offer()
    peer.window = None
    attempt.take_offer(offer.text())
    await step(attempt, AskingPermission)
    attempt.answer(is_allowed=True)
    assert await problem(attempt) is Problem.EXPIRED


async def test_an_offer_of_an_earlier_window_has_expired(peer: LinkPeer, attempt: PairingAttempt) -> None:
    earlier = peer.offer()
    peer.offer()
    attempt.take_offer(earlier.text())
    await step(attempt, AskingPermission)
    attempt.answer(is_allowed=True)
    assert await problem(attempt) is Problem.EXPIRED


async def test_nobody_at_the_address_is_told(peer: LinkPeer, attempt: PairingAttempt) -> None:
    attempt.take_offer(replace(peer.offer(), port=closed_port()).text())
    assert await problem(attempt) is Problem.UNREACHABLE


async def test_another_computer_at_the_address_is_told(peer: LinkPeer, attempt: PairingAttempt) -> None:
    offer = peer.offer()
    async with in_between(peer) as (port, _):
        attempt.take_offer(replace(offer, port=port).text())
        assert await problem(attempt) is Problem.CERTIFICATE


async def test_who_does_not_know_the_code_is_somebody_in_between(peer: LinkPeer, attempt: PairingAttempt) -> None:
    peer.behaviour.wrong_pair_proof = True
    attempt.take_offer(peer.offer().text())
    await step(attempt, AskingPermission)
    attempt.answer(is_allowed=True)
    assert await problem(attempt) is Problem.IN_BETWEEN


async def test_without_a_camera_it_is_told_why(companion: Companion) -> None:
    attempt = with_camera(companion, NoCamera("no provider"))
    attempt.scan()
    assert await until(attempt.step, lambda step: step == Failed(Problem.NO_CAMERA, "no provider"))
    await attempt.close()


async def test_a_camera_that_is_refused_is_told(companion: Companion) -> None:
    class Refused(NoCamera):
        async def frames(self) -> AsyncGenerator[Frame]:
            with contextlib.suppress(NoCameraError):
                async for frame in super().frames():
                    yield frame
            raise CameraRefusedError

    attempt = with_camera(companion, Refused(""))
    attempt.scan()
    assert await problem(attempt) is Problem.CAMERA_REFUSED
    await attempt.close()


async def test_the_torch_is_switched_and_goes_out_with_the_camera(companion: Companion, frames: Path) -> None:
    camera = FolderFrames(frames, frame_seconds=0.001)
    attempt = with_camera(companion, camera)
    attempt.switch_torch(is_on=True)
    assert not camera.torch_is_on  # nothing is scanned
    attempt.scan()
    await until(attempt.torch, lambda torch: torch is False)
    attempt.switch_torch(is_on=True)
    assert (camera.torch_is_on, attempt.torch.value) == (True, True)
    await attempt.close()
    assert (camera.torch_is_on, attempt.torch.value) == (False, None)


async def test_it_can_be_cancelled_while_it_scans_and_while_it_asks(
    peer: LinkPeer, attempt: PairingAttempt, frames: Path
) -> None:
    attempt.scan()
    await until(attempt.picture, lambda picture: picture is not None)
    attempt.cancel()
    assert attempt.step.value == Idle()
    attempt.take_offer(peer.offer().text())
    await step(attempt, AskingPermission)
    attempt.cancel()
    attempt.answer(is_allowed=True)  # too late
    await attempt.close()
    assert attempt.step.value == Idle()
    assert not peer.devices


async def test_who_cancels_after_allowing_it_is_not_paired_either(
    peer: LinkPeer, companion: Companion, attempt: PairingAttempt
) -> None:
    attempt.take_offer(peer.offer().text())
    await step(attempt, AskingPermission)
    attempt.answer(is_allowed=True)
    await step(attempt, Finishing)
    attempt.cancel()
    assert attempt.step.value == Idle()
    await attempt.close()
    assert companion.pairings == ()
    assert attempt.step.value == Idle()


async def test_a_new_attempt_takes_the_place_of_the_one_before(peer: LinkPeer, attempt: PairingAttempt) -> None:
    attempt.scan()
    attempt.type_code("nowhere", "")
    assert await problem(attempt) is Problem.NOT_AN_ADDRESS
    attempt.take_offer(peer.offer().text())
    await step(attempt, AskingPermission)
