"""The Android app's beginning: python-for-android runs this file."""

import sys

from android.storage import app_storage_path
from jnius import autoclass

from edgeloop_companion.ui.main import main

# Beside the app's own files, which an update replaces.
STATE = f"{app_storage_path()}/edgeloop"

sys.exit(main(["--state", STATE, "--name", autoclass("android.os.Build").MODEL]))
