"""`iptsim explain --batch`: many questions, one JSON object per line, both in and out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from iptsim.commands.common import (
    ANSWERED,
    BAD,
    DIFFERS,
    json_object,
    json_text,
    open_source,
    question_fields,
)
from iptsim.commands.expecting import assume_listening, expected
from iptsim.commands.known_answers import KnownAnswers, Members
from iptsim.errors import IptsimError, UsageError
from iptsim.languages import message, text_of
from iptsim.reading import open_regular, parse_json

if TYPE_CHECKING:
    from iptsim.explanation import Explanation
    from iptsim.host import Host

#: Bytes of a batch that are read at once; answers are flushed after each piece.
_PIECE = 1 << 16
#: The longest line of a batch, in bytes.
LINE_LIMIT = 1 << 20


def answer_batch(arguments: argparse.Namespace, wanted: str | None = None) -> int:
    """Answer one question per line. A line that cannot be answered gives an error instead.

    Args:
        wanted: the expectation for lines that have no `expect` of their own, or None.

    Returns:
        The exit status. With expectations: 2 if a line is an error or the batch is empty, else 1 if an answer
        is not as expected.
    """
    if not arguments.json:
        raise UsageError(message("--batch requires --json"))
    if arguments.source == "-" and arguments.batch == "-":
        raise UsageError(message("SOURCE and --batch cannot both be standard input"))
    defaults = question_fields(arguments)
    batch = Batch(open_source(arguments), defaults, wanted, teach=arguments.teach)
    with _stream(arguments.batch) as stream:
        for lines in groups_of_lines(stream):
            for line in lines:
                batch.number += 1
                if line.strip():
                    sys.stdout.write(batch.text(line) + "\n")
            sys.stdout.flush()
    return batch.status()


class Batch:
    """Answers the lines of a batch, and records whether the answers are as expected."""

    def __init__(
        self, host: Host, defaults: dict[str, Any], wanted: str | None, *, teach: bool = False
    ) -> None:
        from iptsim.netfilter.walk import simulator_of

        self.host, self.defaults, self.wanted, self.teach = host, defaults, wanted, teach
        self.simulator = simulator_of(host)
        self.number = self.answered = self.errors = 0
        self.expecting, self.missed = wanted is not None, False
        self.known = KnownAnswers(self.simulator)

    def text(self, line: bytes) -> str:
        """Return the answer to a line as JSON, or the error in its place."""
        name = None
        try:
            fields = _line_fields(line)
            name = fields.get("id") if isinstance(fields.get("id"), str | int) else None
            members = self._members(fields, name)
        except IptsimError as error:
            self.errors += 1
            return json_text({"id": name, "error": str(error)})
        self.answered += 1
        if name is not None:
            members = {"schema": members["schema"], "id": json_text(name), **members}
        return json_object(members)

    def _members(self, fields: dict[str, Any], name: str | int | None) -> Members:
        """Return the members of an answer except its id."""
        wanted, question = self.wanted, _merged(self.defaults, fields)
        if "expect" in fields:
            self.expecting = True
            from iptsim.explanation.expectation import check_expectation

            wanted = check_expectation(question.pop("expect"))
        # an id that is not valid is an error
        is_plain = wanted is None and ("id" not in fields or type(fields["id"]) in (str, int))
        asked = {name: value for name, value in question.items() if name != "id"}
        known = self.known.get(asked) if is_plain else None
        # the witness of each class of addresses is a question that has the id as well
        if known is not None and (name is None or "classes" not in known):
            return known
        explanation = self._answer(question, wanted)
        out = explanation.as_json(verbose=explanation.question.verbose, teach=self.teach)
        out.pop("id", None)
        members = {key: json_text(value) for key, value in out.items()}
        if is_plain and (name is None or "classes" not in members):
            self.known.keep(asked, members)
        return members

    def _answer(self, fields: dict[str, Any], wanted: str | None) -> Explanation:
        from iptsim.asking import ask_all
        from iptsim.question.model import Question

        explanation = ask_all(self.simulator, Question(**fields))
        if wanted is not None:
            assume_listening(wanted, explanation)
            self.missed |= expected(wanted, explanation, f"line {self.number}: ") != ANSWERED
        return explanation

    def status(self) -> int:
        """Return the exit status."""
        if self.expecting and (self.errors or not self.answered):
            what = f"lines with errors: {self.errors}" if self.errors else "the batch is empty"
            print(f"iptsim: {what}", file=sys.stderr)
            return BAD
        return DIFFERS if self.missed else ANSWERED


def _line_fields(line: bytes) -> dict[str, Any]:
    """Read a batch line."""
    if len(line) > LINE_LIMIT:
        raise UsageError(message("the line is longer than {line_limit:,} bytes", line_limit=LINE_LIMIT))
    try:
        fields = parse_json(line)
    except ValueError as error:
        raise UsageError(message("the line is not JSON: {error}", error=text_of(error))) from None
    if not isinstance(fields, dict):
        raise UsageError(
            message('a question must be a JSON object, such as {{"from": "client", "to": "web"}}')
        )
    return fields


def _merged(defaults: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """Return a batch line's fields over those of the command line."""
    if not defaults:
        return fields
    merged = {**defaults, **fields}
    if "assume" in defaults and isinstance(fields.get("assume"), dict):
        merged["assume"] = {**defaults["assume"], **fields["assume"]}
    return merged


def _stream(name: str) -> IO[bytes]:
    if name == "-":
        # a copy of the descriptor, so that closing it leaves sys.stdin alone
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    return open_regular(name)


def groups_of_lines(stream: IO[bytes]) -> Iterator[list[bytes]]:
    """Yield lines as soon as they arrive, so that a caller may wait for each answer before asking the next question.

    A line longer than :data:`LINE_LIMIT` is cut just beyond that limit, so that it is still recognized as too long.
    """
    begun = b""
    while piece := stream.read1(_PIECE):  # type: ignore[attr-defined]
        *lines, rest = piece.split(b"\n")
        if lines:
            lines[0] = begun + lines[0]
            begun = b""
            yield lines
        if len(begun) <= LINE_LIMIT:
            begun += rest
    yield [begun]
