"""The commands of `sentinel`, one group a file; streams/cli.py lists them."""
