"""A host as one page to look at and to search: `iptsim report`."""

from iptsim.report.contents import Report, report
from iptsim.report.page import page

__all__ = ["Report", "page", "report"]
