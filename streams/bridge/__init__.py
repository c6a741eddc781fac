"""What comes over HTTP, pushed or pulled, to raw topics."""
