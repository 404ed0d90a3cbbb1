"""Matches and targets, each by itself."""
