"""What keeps this device from its computers, found out on the device's side."""
