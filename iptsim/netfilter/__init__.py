"""The walk of a packet through the kernel: hooks, chains, conntrack, nat, routing, bridges."""
