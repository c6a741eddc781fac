"""Compile the kernels, so that the first worker starts at once: `python -m agents.scorer`."""

from agents.scorer.scorer import warm_up

if __name__ == "__main__":
    warm_up()
