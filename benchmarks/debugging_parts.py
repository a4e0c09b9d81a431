"""The peer of `debugging.py`: `debugging_parts.py SCRIPT` runs a script under debugpy and prints the port to attach to."""

from __future__ import annotations

import runpy
import socket
import sys
import threading


def main() -> None:
    """Wait for a client, then run the script."""
    threading.current_thread().pydev_do_not_trace = True  # type: ignore[attr-defined]
    import debugpy

    debugpy.configure(subProcess=False)
    accept = socket.socket.accept

    def accept_without_delay(self: socket.socket) -> tuple[socket.socket, object]:
        connection, address = accept(self)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else debugpy answers in 44 ms
        return connection, address

    socket.socket.accept = accept_without_delay  # type: ignore[method-assign]
    _, port = debugpy.listen(("127.0.0.1", 0), in_process_debug_adapter=True)
    print(port, flush=True)

    def run() -> None:
        debugpy.wait_for_client()
        runpy.run_path(sys.argv[1], run_name="__main__")

    script = threading.Thread(target=run)
    script.start()
    script.join()


if __name__ == "__main__":
    main()
