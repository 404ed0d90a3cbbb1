"""Every test speaks English, can be interrupted and repeated, whatever the locale and the job control of its user."""

from __future__ import annotations

import gc
import os
import signal
from collections import Counter
from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, settings

# `--hypothesis-profile=default` draws other examples each time; a busy machine fails no test
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

for _name in ("LC_ALL", "LC_MESSAGES", "LANG", "LANGUAGE"):
    os.environ.pop(_name, None)
os.environ["LC_ALL"] = "C.UTF-8"

# a shell without job control starts background commands with interrupts ignored, and children inherit that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# hosts that tests share stay until the end: the collector need not look at all of them again and again
gc.set_threshold(50_000, 20, 50)

#: `python -m tests.notebooks` needs what only the tests of documents install.
collect_ignore = [] if find_spec("nbclient") else ["notebooks.py"]


def pytest_collection_finish() -> None:
    """Keep the tests themselves from the collector, too."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line which tests were left out, and why."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple)
    )
    if reasons:
        told = "; ".join(f"{count} ({reason})" for reason, count in reasons.most_common())
        terminalreporter.write_line(f"left out: {told}")
