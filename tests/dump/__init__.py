"""Reading and writing dumps."""
