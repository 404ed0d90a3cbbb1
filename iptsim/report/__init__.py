"""A host as one searchable HTML page: `iptsim report`."""

from iptsim.report.contents import Report, report
from iptsim.report.page import page

__all__ = ["Report", "page", "report"]
