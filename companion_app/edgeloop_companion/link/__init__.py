"""The phone's end of pairing, of the link and of blob transfers."""
