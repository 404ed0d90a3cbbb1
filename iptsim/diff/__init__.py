"""Two hosts compared: packets that are treated differently, and differences of rules that make no difference."""
