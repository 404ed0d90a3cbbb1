"""Reads pasted text: splits any text into segments of known forms, and combines them into a host."""
