"""Reading QR codes with zxing-cpp; the one module that imports it. It has no wheel for Android."""

from __future__ import annotations

import zxingcpp

from edgeloop_companion.scanning.decoder import MAX_CODES
from edgeloop_companion.scanning.frame import Frame


class ZxingDecoder:
    """A `Decoder` for desktops. zxing-cpp lets go of the interpreter while it looks, so that the screen goes on."""

    def decode(self, frame: Frame) -> tuple[str, ...]:
        """Look for codes in every direction, small and inverted ones too."""
        picture = memoryview(frame.luminance).cast("B", (frame.height, frame.width))
        qr_code = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
        found = zxingcpp.read_barcodes(picture, formats=qr_code)
        return tuple(code.text for code in found[:MAX_CODES])
