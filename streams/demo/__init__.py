"""What `make demo` watches: a small real shop that really falls ill and really recovers."""
