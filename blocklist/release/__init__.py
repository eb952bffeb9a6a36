"""What providers get: a snapshot of the register, what it changes, its files, notices and receipts."""
