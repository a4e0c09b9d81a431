"""Per-operator traces: stored batches and their export."""
