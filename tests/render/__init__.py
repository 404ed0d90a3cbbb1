"""Tests of what is printed for people."""
