"""The rules that dockerd writes, generation by generation."""
