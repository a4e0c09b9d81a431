"""Reading QR codes with ZXing's Java core, through pyjnius. It has never run on a phone.

`tests/companion_app/test_scanning_on_android.py` holds which calls it makes. The app's build takes the library
`com.google.zxing:core` in.
"""

from __future__ import annotations

import jnius

from edgeloop_companion.scanning.decoder import MAX_CODES
from edgeloop_companion.scanning.frame import Frame


class AndroidDecoder:
    """A `Decoder`. Make it in Python's first thread: others do not find the app's own classes."""

    def __init__(self) -> None:
        self._source = jnius.autoclass("com.google.zxing.PlanarYUVLuminanceSource")
        self._binarizer = jnius.autoclass("com.google.zxing.common.HybridBinarizer")
        self._bitmap = jnius.autoclass("com.google.zxing.BinaryBitmap")
        self._reader = jnius.autoclass("com.google.zxing.multi.qrcode.QRCodeMultiReader")
        self._hints = jnius.autoclass("java.util.HashMap")()
        self._hints.put(jnius.autoclass("com.google.zxing.DecodeHintType").TRY_HARDER, True)

    def decode(self, frame: Frame) -> tuple[str, ...]:
        """Look for codes. ZXing finds them in every direction; that there is none it says by an exception."""
        width, height = frame.width, frame.height
        try:
            source = self._source(frame.luminance, width, height, 0, 0, width, height, False)
            bitmap = self._bitmap(self._binarizer(source))
            found = self._reader().decodeMultiple(bitmap, self._hints)
            return tuple(str(code.getText()) for code in found[:MAX_CODES])
        except jnius.JavaException:
            return ()
        finally:
            jnius.detach()  # a thread that ends inside Java crashes the app
