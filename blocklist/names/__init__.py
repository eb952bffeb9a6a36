"""What may be listed: canonical names, guards against over-blocking, names read from files."""
