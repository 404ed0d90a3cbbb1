"""The version of Linux that a text shows, or that of the release that it names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from iptsim.paste.lines import Line

#: What `uname -a`, dmesg, `docker info`, hostnamectl and people write.
_SHOWN = re.compile(
    r"^\s*Linux \S+ (\d+)\.(\d+)\.\d\S* #\d|\bLinux version (\d+)\.(\d+)"
    r"|\bkernel(?: version)?:? (?:Linux )?v?(\d+)\.(\d+)",
    re.IGNORECASE,
)
_UNAME = re.compile(r"\buname -\w*r")
_PRINTED = re.compile(r"\s*(\d+)\.(\d+)\.\d\S*\s*$")
#: Releases of Red Hat Enterprise Linux, and of those made from it; also in the names of packages.
_RELEASE = re.compile(
    r"\b(?:CentOS|RHEL|Red ?Hat Enterprise Linux|Scientific Linux|Oracle Linux)(?: Linux)?(?: Server)?(?: release)?"
    r" ?([5-7])\b|\.el([5-7])(?=[._]|$)",
    re.IGNORECASE,
)
#: Their versions of Linux (access.redhat.com/articles/3078).
_OF_RELEASE = {"5": (2, 6), "6": (2, 6), "7": (3, 10)}


def kernel_version(lines: Sequence[Line]) -> tuple[int, int] | None:
    """Return the first two numbers of a kernel's version, such as (5, 15); None if the lines do not tell them."""
    texts = [line.text for line in lines]
    for before, text in pairwise(["", *texts]):
        found = _SHOWN.search(text) or (_PRINTED.match(text) if _UNAME.search(before) else None)
        if found is not None:
            major, minor = filter(None, found.groups())
            return int(major), int(minor)
    named = next(filter(None, map(_RELEASE.search, texts)), None)
    return _OF_RELEASE[named[1] or named[2]] if named is not None else None
