"""A fault in a screen ends neither the app nor what runs in it."""

from __future__ import annotations

import asyncio

import pytest

from .shown_app import ShownApp


async def test_a_fault_of_a_screen_is_logged_and_the_app_goes_on(
    phone: ShownApp, caplog: pytest.LogCaptureFixture
) -> None:
    from kivy.clock import Clock

    from edgeloop_companion.ui.faults import outlived_faults

    def fail(_: float) -> None:
        raise IndexError("a row that is gone")

    with outlived_faults():
        Clock.schedule_once(fail, 0)
        await phone.until(lambda: "a row that is gone" in caplog.text, "it is not logged")
        await phone.goes("settings")
        await phone.sees("Keep the screen on")
    caplog.clear()


async def test_faults_without_end_and_what_is_no_fault_end_the_app(phone: ShownApp) -> None:
    from kivy.base import ExceptionManager

    from edgeloop_companion.ui.faults import MAX_FAULTS, WITHIN_SECONDS, FaultHandler

    now = 0.0
    handler = FaultHandler(lambda: now)
    answers = [handler.handle_exception(IndexError(number)) for number in range(MAX_FAULTS + 1)]
    assert answers == [*[ExceptionManager.PASS] * MAX_FAULTS, ExceptionManager.RAISE]
    now += WITHIN_SECONDS
    assert handler.handle_exception(IndexError()) == ExceptionManager.PASS
    assert handler.handle_exception(asyncio.CancelledError()) == ExceptionManager.RAISE
    assert phone.shows("Computers")
