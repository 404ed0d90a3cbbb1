"""What was wrong before the commands that a pasted text gives behind its rules."""

from __future__ import annotations

from collections.abc import Sequence

from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.finding import Cause, Finding, Mended
from iptsim.findings.remedy import mends
from iptsim.findings.scene import Scene
from iptsim.host.model import Before
from iptsim.languages import message_if

#: The finding of counters: its packet shows the rule, not the packets that were counted.
_COUNTED = "counted-drops"


def mended(before: Before, was: Sequence[Finding], scene: Scene, found: Sequence[Finding]) -> Mended | None:
    """Return what commands mend; None if that is nothing, or if the text disowns them.

    Findings of severity info, such as ports that are closed, need not be defects, so nothing mends them: but whoever
    removes a rule that has counted what it blocked takes it for one.

    Args:
        before: the host before them.
        was: its findings.
        scene: the host after them.
        found: its findings.
    """
    if before.in_vain:
        return None
    left = {(one.code, one.family) for one in found}
    defects = (one for one in was if one.severity != "info" or one.code == _COUNTED)
    gone = tuple(one for one in defects if _is_gone(one, scene, (one.code, one.family) in left))
    return Mended(before, gone) if gone else None


def _is_gone(finding: Finding, scene: Scene, remains: bool) -> bool:
    """Return whether the packet that shows a finding is now treated otherwise; without one, no such finding remains."""
    if finding.shown is None or finding.code == _COUNTED:
        return not remains
    after = scene.again(finding.shown, "")
    return after is not None and mends(finding.shown, after)


def cause_before(earlier: Cause | None, cause: Cause | None, before: Before) -> Cause | None:
    """Return the cause of what a text describes before its commands: that of the host before, unless it remains.

    Args:
        earlier: the cause on the host before the commands.
        cause: the cause on the host after them.
        before: the host before them.
    """
    if earlier is None or (cause is not None and (_blocks(cause) or str(cause.text) == str(earlier.text))):
        return cause
    changed = message_if(
        before.first == before.last,
        "The command in line {lines} changes that.",
        "The commands in lines {lines} change that.",
        lines=before.lines,
    )
    return earlier._replace(changed=changed)


def _blocks(cause: Cause) -> bool:
    return cause.shown is not None and cause.shown.verdict in BLOCKING
