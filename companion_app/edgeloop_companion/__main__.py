"""`python -m edgeloop_companion`: the headless companion."""

import sys

from edgeloop_companion.main import main

sys.exit(main())
