"""Who can reach what: all packets of a host at once, as classes between its endpoints.

The public function is :func:`reach`, also available as :meth:`iptsim.Host.reach`.
"""

from iptsim.reaching.answer import Cell, Reaching, reach
from iptsim.reaching.classes import ReachClass

__all__ = ["Cell", "ReachClass", "Reaching", "reach"]
