"""Which plugins the user has disabled: a file of the state folder, which is read before anything else is opened."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from edgeloop_daemon.store.files import write_atomically

_log = logging.getLogger(__name__)


class DisabledPlugins:
    """The names in the file at `path`; without a path none is disabled."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def names(self) -> frozenset[str]:
        """Return the names. A file that cannot be read disables nothing."""
        if self._path is None:
            return frozenset()
        try:
            names = json.loads(self._path.read_text())
        except FileNotFoundError:
            return frozenset()
        except (OSError, ValueError) as error:
            _log.error("%s cannot be read, so no plugin is disabled: %s", self._path, error)
            return frozenset()
        return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()

    def change(self, name: str, *, is_disabled: bool) -> None:
        """Enter a name, or remove it."""
        assert self._path is not None
        names = self.names() | {name} if is_disabled else self.names() - {name}
        write_atomically(self._path, json.dumps(sorted(names)))
