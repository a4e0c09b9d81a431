"""Model tools: convert, quantise, inspect and compare."""
