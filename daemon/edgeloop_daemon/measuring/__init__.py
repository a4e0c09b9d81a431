"""What edgeloop itself measures on devices: benchmarks, and a workspace's checks with their baselines."""
