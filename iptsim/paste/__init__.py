"""Reads what people paste: any text, split into segments of known forms, then put together into a host."""
