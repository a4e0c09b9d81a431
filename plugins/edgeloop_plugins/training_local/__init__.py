"""Training on this computer."""
