"""`python -m iptsim` is `iptsim`."""

from iptsim.cli import run

run()
