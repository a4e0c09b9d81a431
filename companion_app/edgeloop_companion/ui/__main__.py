"""`python -m edgeloop_companion.ui`: the companion with its screens."""

import sys

from edgeloop_companion.ui.main import main

sys.exit(main())
