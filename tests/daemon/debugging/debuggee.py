"""A task under debugpy, as a worker on a device runs one: `python debuggee.py FOLDER SCRIPT wait|go`; prints the port.

On standard input a line ends it. debugpy listens once: each further connection is another client of the same debugger.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading
from pathlib import Path


def main() -> None:
    folder, script, mode = sys.argv[1:4]
    os.chdir(folder)
    threading.current_thread().pydev_do_not_trace = True  # type: ignore[attr-defined]
    import debugpy

    debugpy.configure(subProcess=False)
    _, port = debugpy.listen(("127.0.0.1", 0), in_process_debug_adapter=True)
    print(port, flush=True)

    def run() -> None:
        if mode == "wait":
            debugpy.wait_for_client()
        sys.argv = [script]
        sys.path.insert(0, folder)
        runpy.run_path(str(Path(folder) / script), run_name="__main__")

    failures: list[object] = []
    threading.excepthook = failures.append
    task = threading.Thread(target=run)
    task.start()
    task.join()
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
