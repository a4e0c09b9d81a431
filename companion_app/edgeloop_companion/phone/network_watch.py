"""Being told that the network has changed: another one was joined, an address came or went."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol


class NetworkWatch(Protocol):
    """How a platform tells it."""

    def watching(self, changed: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `changed` on the running event loop after every change, for the block. Raises `OSError`.

        One change may be told several times.
        """


class NoNetworkWatch:
    """A `NetworkWatch` of a platform that does not tell: addresses are then looked at now and again."""

    @contextlib.contextmanager
    def watching(self, changed: Callable[[], None]) -> Iterator[None]:
        """Do nothing."""
        del changed
        yield
