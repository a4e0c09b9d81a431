"""What a device script imports; it runs the same on a phone and on a plain PC."""
