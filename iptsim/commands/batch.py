"""`iptsim explain --batch`: many questions, one JSON object a line in, one a line out."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from iptsim.commands.common import ANSWERED, open_source, question_fields
from iptsim.commands.explain import expected
from iptsim.errors import CaptureError, IptsimError, UsageError

#: Octets of a batch that are read at once; answers are flushed after each piece.
_PIECE = 1 << 16


def answer_batch(arguments: argparse.Namespace) -> int:
    """Answer one question a line. A line that can't be answered gives an error in its place."""
    from iptsim.explanation import explain_trace
    from iptsim.fields import make_question
    from iptsim.netfilter.walk import Simulator

    if not arguments.json:
        raise UsageError("--batch prints JSON: give --json as well")
    if arguments.source == "-" and arguments.batch == "-":
        raise UsageError("the rules and the questions can't both come from standard input")
    defaults = question_fields(arguments)
    host = open_source(arguments)
    simulator = Simulator(host)
    status = ANSWERED

    def answer(line: bytes) -> dict[str, Any]:
        nonlocal status
        name = None
        try:
            fields = _line_fields(line)
            name = fields.get("id") if isinstance(fields.get("id"), str | int) else None
            question = make_question(_merged(defaults, fields))
            explanation = explain_trace(host, question, simulator.walk(question))
        except IptsimError as error:
            return {"id": name, "error": str(error)}
        if arguments.expect is not None:
            status = max(status, expected(arguments, explanation.verdict))
        out = explanation.as_json(verbose=question.verbose, teach=arguments.teach)
        return out if name is None else {**out, "id": name}

    with _stream(arguments.batch) as stream:
        for lines in groups_of_lines(stream):
            for line in lines:
                if line.strip():
                    sys.stdout.write(json.dumps(answer(line)) + "\n")
            sys.stdout.flush()
    return status


def _line_fields(line: bytes) -> dict[str, Any]:
    """Read a batch line."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the line is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise UsageError('a question is a JSON object: {"from": "client", "to": "web"}')
    return fields


def _merged(defaults: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """Return a batch line's fields over those of the command line."""
    if not defaults:
        return fields
    merged = {**defaults, **fields}
    if "assume" in defaults and isinstance(fields.get("assume"), dict):
        merged["assume"] = {**defaults["assume"], **fields["assume"]}
    return merged


def _stream(name: str) -> BinaryIO:
    if name == "-":
        # a copy of the descriptor, so that closing it leaves sys.stdin alone
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    try:
        return open(name, "rb")
    except OSError as error:
        raise CaptureError(f"{name}: {error.strerror or error}") from None


def groups_of_lines(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Yield the lines that are there, as they come: whoever waits for an answer before asking on gets it."""
    begun: list[bytes] = []
    while piece := stream.read1(_PIECE):  # type: ignore[attr-defined]
        *lines, rest = piece.split(b"\n")
        if lines:
            lines[0] = b"".join([*begun, lines[0]])
            begun = []
            yield lines
        begun.append(rest)
    yield [b"".join(begun)]
