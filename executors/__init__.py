"""What is changed: one target a file, under a ledger."""
