"""Running tasks: workers, their bundles and what they report."""
