"""A worker's service on Android: python-for-android runs this file in a process of its own, once for each run."""

from edgeloop_companion.phone.android_wake import awake
from edgeloop_companion.phone.android_worker_service import serve

with awake():
    serve()
