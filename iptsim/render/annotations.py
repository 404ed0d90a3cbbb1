"""Results for programs that show them beside files: SARIF 2.1.0, workflow commands of GitHub Actions, JUnit XML.

A result with a place in a file, a stable code and a severity is an :class:`Annotation`, which each format writes
differently.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from iptsim.errors import Span, printable
from iptsim.languages import say

#: The schema that a SARIF log names.
SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
#: Severities: the level in SARIF, GitHub's command, and the number by which GitHub's code scanning sorts.
_LEVELS = {
    "critical": ("error", "error", "9.5"),
    "high": ("error", "error", "8.0"),
    "medium": ("warning", "warning", "5.5"),
    "low": ("note", "notice", "3.0"),
    "info": ("note", "notice", "1.0"),
}


@dataclass(frozen=True, slots=True)
class Annotation:
    """A result of a check.

    Attributes:
        code: the stable code of the check.
        severity: critical, high, medium, low or info.
        title: one line.
        text: more about it, in lines; may be empty.
        file: the file in question; "" for none, such as standard input.
        line: the line there, from 1; 0 for the whole file.
        columns: the first column in question and the one after the last, from 0; (0, 0) for the whole line, and an end
            of 0 for the rest of it.
        expected_at: the place that says what is expected, if it is another one.
        group: what was checked: the source as the user named it.
        name: the name of the test case, if it is not the title.
        passed: whether the check passed, and there is nothing to annotate.
        evidence: what distinguishes this result from others with the same code; the same in the next run.
    """

    code: str
    severity: str
    title: str
    text: str = ""
    file: str = ""
    line: int = 0
    group: str = ""
    name: str = ""
    passed: bool = False
    evidence: str = ""
    columns: tuple[int, int] = (0, 0)
    expected_at: Span | None = None

    @property
    def fingerprint(self) -> str:
        """An identifier that does not change if lines are added or removed above the result."""
        return hashlib.sha256(f"{self.code}\n{self.evidence or self.title}".encode()).hexdigest()[:32]


def _failed(annotations: Iterable[Annotation]) -> list[Annotation]:
    return [one for one in annotations if not one.passed]


# -- SARIF -----------------------------------------------------------------------------------------


def sarif(
    annotations: Iterable[Annotation], meanings: Mapping[str, str], program: str, errors: Sequence[str] = ()
) -> dict[str, Any]:
    """Return a SARIF log of one run.

    Args:
        annotations: the results; passed ones are left out.
        meanings: one sentence for each code.
        program: name and version of the program: "iptsim 1.0".
        errors: why sources could not be read.
    """
    failed = _failed(annotations)
    codes = list(dict.fromkeys(one.code for one in failed))
    gravest = {one.code: one.severity for one in sorted(failed, key=_rank, reverse=True)}
    invocation: dict[str, Any] = {"executionSuccessful": not errors}
    if errors:
        invocation["toolExecutionNotifications"] = [
            {"level": "error", "message": {"text": text}} for text in errors
        ]
    name, _, version = program.partition(" ")
    run = {
        "tool": {
            "driver": {
                "name": name,
                "version": version,
                "rules": [_descriptor(code, meanings.get(code, code), gravest[code]) for code in codes],
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [invocation],
        "results": [_result(one, codes.index(one.code)) for one in failed],
    }
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _rank(one: Annotation) -> int:
    return list(_LEVELS).index(one.severity)


def _descriptor(code: str, meaning: str, severity: str) -> dict[str, Any]:
    level, _, number = _LEVELS[severity]
    # GitHub's code scanning requires all three texts
    texts = {key: {"text": meaning} for key in ("shortDescription", "fullDescription", "help")}
    return {
        "id": code,
        **texts,
        "defaultConfiguration": {"level": level},
        "properties": {"tags": ["security"], "security-severity": number},
    }


def _result(one: Annotation, index: int) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": one.code,
        "ruleIndex": index,
        "level": _LEVELS[one.severity][0],
        "message": {"text": f"{one.title}\n{one.text}".strip()},
        # by the second, GitHub's code scanning recognises a result; without a line, it shows none
        "partialFingerprints": dict.fromkeys(("iptsim/v1", "primaryLocationLineHash"), one.fingerprint),
    }
    if one.file:
        result["locations"] = [{"physicalLocation": _place(one.file, one.line, one.columns)}]
    if (other := one.expected_at) is not None:
        place = _place(other.source, other.line, (other.start, other.end))
        result["relatedLocations"] = [
            {"physicalLocation": place, "message": {"text": say("the expectation")}}
        ]
    return result


def _place(file: str, line: int, columns: tuple[int, int]) -> dict[str, Any]:
    start, end = columns
    region = {"startLine": line or 1}
    if start or end:
        region |= {"startColumn": start + 1, **({"endColumn": end + 1} if end else {})}
    return {"artifactLocation": {"uri": _uri(file)}, "region": region}


def _uri(file: str) -> str:
    """Return the URI of a file: relative as the file was named, so that it is found in the repository."""
    if os.path.isabs(file):
        return Path(file).as_uri()
    path = Path(os.path.normpath(file)).as_posix()
    return quote(path.encode("utf-8", "surrogateescape"), safe="/")


# -- GitHub Actions --------------------------------------------------------------------------------


def github(annotations: Iterable[Annotation]) -> Iterator[str]:
    """Yield the workflow commands that show results beside the lines of files.

    How values are escaped: actions/toolkit, packages/core/src/command.ts, escapeData and escapeProperty.
    """
    for one in _failed(annotations):
        properties = {"title": f"iptsim: {one.title}"}
        if one.file:
            numbers = {"line": one.line, "col": one.columns[0] + 1 if any(one.columns) else 0}
            numbers["endColumn"] = one.columns[1] + 1 if one.columns[1] else 0
            places = {name: str(number) for name, number in numbers.items() if number}
            properties = {"file": one.file, **places, **properties}
        given = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
        yield f"::{_LEVELS[one.severity][1]} {given}::{_data(one.text or one.title)}"


def _data(text: str) -> str:
    return "%0A".join(printable(line).replace("%", "%25") for line in text.split("\n"))


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


# -- JUnit -----------------------------------------------------------------------------------------


def junit(annotations: Iterable[Annotation], errors: Mapping[str, str] | None = None) -> str:
    """Return JUnit XML: a suite for each source, a test case for each result.

    It has only elements and attributes of junit-10.xsd, by which the xUnit plugin of Jenkins validates: the place of a
    result in a file is the first line of its text.

    Args:
        annotations: the results, including passed ones.
        errors: why a source could not be read, by the source.
    """
    groups: dict[str, list[Annotation]] = {}
    for one in annotations:
        groups.setdefault(one.group, []).append(one)
    cases = [one for group in groups.values() for one in group]
    root = ElementTree.Element(
        "testsuites",
        name="iptsim",
        tests=str(len(cases) + len(errors or {})),
        failures=str(len(_failed(cases))),
        errors=str(len(errors or {})),
    )
    for name, group in groups.items():
        suite = _suite(root, name, len(group), failures=len(_failed(group)))
        for one in group:
            _case(suite, one)
    for name, text in (errors or {}).items():
        suite = _suite(root, name, 1, errors=1)
        case = ElementTree.SubElement(suite, "testcase", classname=printable(name), name="read the source")
        error = ElementTree.SubElement(case, "error", message=printable(text.partition("\n")[0]))
        error.text = _lines(text)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _suite(
    root: ElementTree.Element, name: str, tests: int, *, failures: int = 0, errors: int = 0
) -> ElementTree.Element:
    suite = ElementTree.SubElement(root, "testsuite", name=printable(name))
    for key, count in {"tests": tests, "failures": failures, "errors": errors, "skipped": 0}.items():
        suite.set(key, str(count))
    return suite


def _case(suite: ElementTree.Element, one: Annotation) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", classname=printable(one.group), name=printable(one.name or one.title)
    )
    if not one.passed:
        failure = ElementTree.SubElement(case, "failure", type=one.severity, message=printable(one.title))
        place = f"{one.file}:{one.line}" if one.line else one.file
        failure.text = _lines("\n".join(filter(None, [place, one.text or one.title])))


def _lines(text: str) -> str:
    """Return a text in which only line breaks are control characters: XML 1.0 has no others."""
    return "\n".join(map(printable, text.split("\n")))
