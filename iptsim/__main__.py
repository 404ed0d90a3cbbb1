"""`python -m iptsim` is `iptsim`."""

import sys

from iptsim.cli import main

sys.exit(main())
