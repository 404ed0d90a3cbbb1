"""Reads what people paste: any text, split into segments of a known form, and put together into a host and a question."""
