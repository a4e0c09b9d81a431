"""What keeps this device from its computers, for who asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from edgeloop_companion.doctor.checks import examine
from edgeloop_companion.doctor.finding import Finding
from edgeloop_companion.doctor.subject import Subject
from edgeloop_companion.store.observable import Observable


@dataclass(frozen=True)
class Examination:
    """What was found so far; more comes while it is `at_work`."""

    findings: tuple[Finding, ...] = ()
    at_work: bool = False


class DoctorStore:
    """`look` returns the device as it is, so that the checks have something to judge."""

    def __init__(self, look: Callable[[], Awaitable[Subject]]) -> None:
        self._look = look
        self.examination = Observable(Examination())

    async def examine(self) -> None:
        """Make all checks anew. What was found before is shown until the device was looked at."""
        if self.examination.value.at_work:
            return
        self.examination.set(Examination(self.examination.value.findings, at_work=True))
        findings: tuple[Finding, ...] = ()
        try:
            async for finding in examine(await self._look()):
                findings += (finding,)
                self.examination.set(Examination(findings, at_work=True))
        finally:
            self.examination.set(Examination(findings))
