"""What the screens show, known without any screen."""
