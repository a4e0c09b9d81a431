"""What `edgeloop doctor` looks at: each check tells what it found and, where something is wrong, the remedy."""
