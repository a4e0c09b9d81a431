"""`python -m edgeloop_daemon`: the daemon in the foreground. `edgeloop up` starts this in the background."""

from __future__ import annotations

import gc

if __name__ == "__main__":
    gc.disable()  # what is imported and made until the daemon serves is no garbage; `run_daemon` enables it again
    from edgeloop_daemon.foreground import main

    main()
