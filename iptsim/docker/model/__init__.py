"""What Docker is set to: its daemon, networks, containers, published ports and links."""
