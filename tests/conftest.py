"""What all tests share: how many run at a time, and that in CI a test that is skipped has not passed.

Property tests run the same examples everywhere, so that a failure in CI is a failure at the desk. Tests run in Python's own event
loop: in uvloop, which daemons and companions that are processes use, the signal of a test's timeout does not end the test.
"""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import settings
from pydantic import TypeAdapter

# Here, because it holds for what is decorated later: no test module is read before.
settings.register_profile("edgeloop", derandomize=True, deadline=None, max_examples=300, database=None)
settings.load_profile("edgeloop")

os.environ["EDGELOOP_MDNS"] = "off"  # no daemon of a test says anything to the network that the machine is in

# The first one looks through all installed distributions for plugins, once per process: a few milliseconds that the daemon
# spends at its first request, and that the guard against blocking calls would lay at the door of whichever test comes first.
TypeAdapter(bool)

EXPECTED_SKIPS = ("needs macOS",)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Have one more file at work than there are processors: most tests wait for other processes most of the time."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_finish() -> None:
    """Hold that no test module imports Kivy: it opens its window then, in a size and with a log that nobody asked for."""
    if "kivy" in sys.modules:
        raise pytest.UsageError(
            "A test module imports Kivy as it is read. Import it in the test, below the fixture `phone`."
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(expected in reason for expected in EXPECTED_SKIPS):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} was skipped in CI, which nobody expects: {reason}"
    return report
