"""What Docker's own rules are for."""
