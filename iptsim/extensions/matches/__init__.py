"""The match extensions, one module each, named like the match in lower case."""
