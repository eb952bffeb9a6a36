"""What anybody can check without a key: a whole register, or everything about one measure."""
