"""Which camera and which decoder this device has."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from kivy.utils import platform

from edgeloop_companion.scanning.camera import Camera, NoCamera
from edgeloop_companion.scanning.decoder import Decoder
from edgeloop_companion.ui.kivy_camera import KivyCamera

# What Kivy's providers import; macOS has one of its own.
_LIBRARIES = {"linux": ("gi", "cv2", "picamera"), "win": ("cv2",)}
_MISSING = {
    "linux": "Kivy reads cameras here through GStreamer (python3-gi) or OpenCV (opencv-python); neither is installed.",
    "win": "Kivy reads cameras here through OpenCV (opencv-python), which is not installed.",
}


def this_camera(frames: Path | None = None) -> Camera:
    """Return the camera of this device, or one that shows the pictures in the folder `frames`."""
    if frames is not None:
        from edgeloop_companion.scanning.folder_frames import FolderFrames  # Pillow is not on phones

        return FolderFrames(frames)
    if platform == "android":
        from edgeloop_companion.scanning.android_permission import ask_for_camera
        from edgeloop_companion.ui.android_camera import AndroidCamera

        return AndroidCamera(ask_for_camera)
    libraries = _LIBRARIES.get(platform, ())
    if libraries and not any(map(importlib.util.find_spec, libraries)):
        return NoCamera(_MISSING[platform])
    return KivyCamera()


def this_decoder() -> Decoder:
    """Return what reads codes on this device."""
    if platform == "android":
        from edgeloop_companion.scanning.android_decoder import AndroidDecoder

        return AndroidDecoder()
    from edgeloop_companion.scanning.zxing_decoder import ZxingDecoder  # has no wheel for Android

    return ZxingDecoder()
