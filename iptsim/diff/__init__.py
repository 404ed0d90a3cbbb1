"""Two hosts compared: which packets are treated differently, and which differences of their rules are none."""
