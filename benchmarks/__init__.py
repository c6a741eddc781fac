"""What it costs: `make bench` prints every figure of the README, peers in the same run."""
