"""The laboratory: the same rules and packets in a real kernel, to compare iptsim with."""
