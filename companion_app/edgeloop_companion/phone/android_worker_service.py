"""What the process of a worker service does on Android; its entry script is `serve()` and nothing else. Never run on a phone.

The service's process guards a run as `runtime.guardian` does elsewhere, and forks the worker: a native crash takes the worker
alone. Nothing of Java is touched on this side: it does not outlive a fork.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeloop_companion.runtime.guardian import guard
from edgeloop_companion.runtime.run_folder import RunFolder
from edgeloop_shared.codec import decode_json
from edgeloop_shared.process_lock import held

ARGUMENT = "PYTHON_SERVICE_ARGUMENT"  # where python-for-android leaves what a service was started with
MAX_ARGUMENT_BYTES = 16 * 1024


@dataclass(frozen=True)
class ServiceOrder:
    """The run's folder, and the lock of the slot, which the service holds for its life."""

    run: str
    slot: str


def serve(environment: Mapping[str, str] = os.environ) -> None:
    """Guard the ordered run, and return when nothing of it is left; the service ends then."""
    order = decode_json(ServiceOrder, environment[ARGUMENT], max_bytes=MAX_ARGUMENT_BYTES)
    service = os.getpid()
    with held(Path(order.slot)) as is_ours:
        if not is_ours:
            return  # another run got here first; the companion tries another slot
        os.chdir(order.run)  # the control socket's path must be short
        status: object = 1
        try:
            guard(RunFolder(Path.cwd()))
        except SystemExit as end:
            status = end.code
        except Exception:
            with Path("guardian.log").open("a") as log:
                traceback.print_exc(file=log)
            raise
        finally:
            if os.getpid() != service:
                _end_worker(status)


def _end_worker(status: object) -> None:
    """End the forked worker as an interpreter ends; to return would lead it into the service's Java, which is not there."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 0 if status is None else 1)
