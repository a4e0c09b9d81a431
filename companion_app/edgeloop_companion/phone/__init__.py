"""Ports to the platform that the companion runs on, and their adapters: desktops, and Android through pyjnius."""
