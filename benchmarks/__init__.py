"""What it costs: `make bench` prints the figures of the README, peers in the same run."""
