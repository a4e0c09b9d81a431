"""The trials that went well, kept so that a plugin which is as it was then is not tried again at every start."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from edgeloop.trial import Trial, file_stamp
from edgeloop_daemon.store.files import write_atomically
from edgeloop_shared import __version__

_log = logging.getLogger(__name__)


class PassedTrials:
    """The verdicts in the file at `path`; without a path none is kept.

    A verdict holds for the same Python, edgeloop, distribution and entry point, as long as no file that the trial imported and no
    folder that modules are searched in has changed. It is not believed blindly: while plugins are loaded the file is gone, so
    that a daemon which dies of an import after all tries every plugin when it starts the next time.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def take(self, entries: Iterable[EntryPoint]) -> dict[EntryPoint, Trial]:
        """Return the verdicts that still hold, and forget all of them until `keep`."""
        if self._path is None:
            return {}
        try:
            kept = json.loads(self._path.read_text())
            self._path.unlink()
            return {entry: trial for entry in entries if (trial := self._holding(entry, kept)) is not None}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            _log.warning("%s cannot be used, so all plugins are tried: %s", self._path, error)
            return {}

    def keep(self, trials: Mapping[EntryPoint, Trial]) -> None:
        """Store the verdicts on plugins that have been loaded since."""
        kept = {
            _key(entry): {**self._identity(entry), "files": trial.files, "remarks": trial.remarks}
            for entry, trial in trials.items()
            if trial.files is not None
        }
        if self._path is None or not kept:
            return
        try:
            write_atomically(self._path, json.dumps(kept))
        except OSError as error:
            _log.warning("All plugins will be tried again: %s", error)

    def _holding(self, entry: EntryPoint, kept: Mapping[str, Any]) -> Trial | None:
        record = kept.get(_key(entry))
        if record is None or any(record[name] != value for name, value in self._identity(entry).items()):
            return None
        files = tuple((str(path), int(size), int(changed)) for path, size, changed in record["files"])
        if any(file_stamp(path) != (path, size, changed) for path, size, changed in files):
            return None
        return Trial("", tuple(str(remark) for remark in record["remarks"]), "", files)

    def _identity(self, entry: EntryPoint) -> dict[str, Any]:
        distribution = [entry.dist.name, entry.dist.version] if entry.dist else []
        return {
            "python": [sys.executable, sys.version],
            "edgeloop": __version__,
            "distribution": distribution,
            "folders": [list(file_stamp(folder)) for folder in sys.path],
        }


def _key(entry: EntryPoint) -> str:
    return f"{entry.name} = {entry.value}"
