"""Devices: pairing, links, blobs and runs on them."""
