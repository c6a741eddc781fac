"""What is concluded: one pure decision a file."""
