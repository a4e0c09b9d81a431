"""debugpy, made ready in this process as a worker does it: `python -m edgeloop_companion.runtime.debugger_self_test`.

It prints one line of JSON, `{"version": ...}`, or ends with the error.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path

from edgeloop_companion.runtime.debugger import Debugger
from edgeloop_companion.runtime.memory import MemoryLimit
from edgeloop_companion.runtime.pauses import Pauses
from edgeloop_shared.errors import TaskFailedError


def main() -> int:
    """Try it; return the exit code."""
    try:
        Debugger(MemoryLimit(None), Pauses(Path(), lambda **_: None)).start()
    except TaskFailedError as error:
        sys.stderr.write(f"{error.__cause__ or error.message}\n")
        return 1
    sys.stdout.write(json.dumps({"version": importlib.metadata.version("debugpy")}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
