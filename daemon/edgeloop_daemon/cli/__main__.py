"""`python -m edgeloop_daemon.cli`: the `edgeloop` command where its script is not on the path."""

from __future__ import annotations

from edgeloop_daemon.cli.main import main

main()
