"""Reading codes off a camera: ports for the camera and the decoder, and their adapters. Nothing here knows Kivy."""
