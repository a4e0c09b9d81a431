"""The screens *Pair* and *Computers* in every state they have, in both themes and both languages: for people to look at.

Without EDGELOOP_SCREENSHOTS there are a few of each, for the drawing itself.
The states are set, not brought about: how each comes about is what the other tests of these screens tell.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from companion_app.shown_codes import show_text

from edgeloop_companion.scanning.folder_frames import read_frame
from edgeloop_companion.store.computers import Computer
from edgeloop_companion.store.pairing_attempt import (
    AskingPermission,
    Connecting,
    Done,
    Failed,
    Finishing,
    Problem,
    Scanning,
    Step,
)
from edgeloop_companion.store.settings import Appearance, Language

from .shown_app import IS_LOOKED_AT, ShownApp, shown_app

NOW = time.time()
ADDRESS = "192.168.1.7:40123"
STEPS: dict[str, Step] = {
    "scanning": Scanning(),
    "another": Scanning(saw_another=True),
    "connecting": Connecting(ADDRESS),
    "asking": AskingPermission("werkstatt", ADDRESS, ()),
    "finishing": Finishing("werkstatt"),
    "done": Done("werkstatt", "d1"),
    **{str(problem): Failed(problem, "The words of the error itself.") for problem in Problem},
}
EXTREMES = [(Language.ENGLISH, Appearance.LIGHT), (Language.CHINESE, Appearance.DARK)]
LOOKS = [(language, appearance) for language in Language for appearance in Appearance] if IS_LOOKED_AT else EXTREMES


def computers() -> dict[str, tuple[Computer, ...]]:
    """Lists of computers; times that count down count from now."""
    soon = time.monotonic() + 12.5
    linked = Computer("d1", "werkstatt", "linked", ADDRESS, NOW, run_count=2)
    away = Computer(
        "d2",
        "a-laptop-with-a-rather-long-name-in-the-living-room",
        "away",
        "10.0.0.4:40123",
        NOW - 3 * 3600,
        reason="No daemon answers at https://10.0.0.4:40123/v1/link: connection refused.",
        next_attempt=soon,
    )
    nearby = Computer("d3", "nearby", "away", "10.0.0.5:40123", NOW - 60 * 5, knocked_at=soon - 20)
    off = Computer("d4", "研发服务器", "off", "[fd00::7]:40123", NOW - 86400 * 9)
    revoked = Computer("d5", "old-desk", "revoked", "10.0.0.6:40123", NOW - 3600)
    return {
        "none": (),
        "one": (linked,),
        "away": (away, nearby),
        "off": (off, revoked),
    }


async def each_look(phone: ShownApp, name: str) -> None:
    for language, appearance in LOOKS:
        phone.parts.settings.change(language=language, appearance=appearance)
        await phone.screenshot(f"{name}-{language}-{appearance}")


@pytest.fixture
def density() -> float:
    return 2.0 if IS_LOOKED_AT else 1.0


async def test_the_screen_pair_in_every_state(kivy_home: Path, tmp_path: Path, density: float) -> None:
    frame = read_frame(show_text(tmp_path / "frames", "EDGELOOP://P1/" + "A" * 90))
    steps = STEPS if IS_LOOKED_AT else {name: STEPS[name] for name in ("another", "wrong-code")}
    async with shown_app(kivy_home, tmp_path / "state", density=density) as phone:
        await phone.tap("Pair a computer")
        await phone.sees("No camera can be used here.")
        pairing: Any = phone.parts.pairing
        for name, step in steps.items():
            pairing.step.set(step)
            pairing.picture.set(frame if isinstance(step, Scanning) else None)
            pairing.torch.set(False if isinstance(step, Scanning) else None)
            await each_look(phone, f"pair-{name}")
            if isinstance(step, AskingPermission):
                await phone.press("escape")


async def test_the_screen_computers_in_every_state(kivy_home: Path, tmp_path: Path, density: float) -> None:
    async with shown_app(kivy_home, tmp_path / "state", density=density) as phone:
        for name, found in computers().items() if IS_LOOKED_AT else [("away", computers()["away"])]:
            phone.parts.computers.computers.set(found)
            await each_look(phone, f"computers-{name}")
        phone.parts.settings.change(language=Language.ENGLISH, appearance=Appearance.LIGHT)
        phone.parts.computers.computers.set(computers()["one"])
        await phone.drawn()
        await phone.tap(phone.button("Link to werkstatt"))
        await phone.sees("Switch off werkstatt?")
        await each_look(phone, "computers-ask-off")
