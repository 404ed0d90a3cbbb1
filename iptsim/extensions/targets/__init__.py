"""The target extensions, one module each, named like the target in lower case."""
