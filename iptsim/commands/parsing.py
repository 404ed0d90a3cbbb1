"""The parser of the command line, and the format of its help, both in the current language, with argparse's texts."""

from __future__ import annotations

import argparse
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from iptsim.errors import printable
from iptsim.languages import Message, looked_up, marked, message, message_joined
from iptsim.suggestions import choose_from, did_you_mean

#: Options that the usage of a command still lists.
_LISTED_OPTIONS = 3
#: What wraps as a whole: a word or an ideograph, with the punctuation after it. Compiled when a help text needs it,
#: as large ranges take milliseconds.
_UNIT = r"[（「『]*(?:[\u2e80-\uffef]|[^\s\u2e80-\uffef]+)[、。，；：！？）」』]*\s*"
#: Texts of argparse that a user can see; it looks them up with gettext.
ARGPARSE = (
    marked("usage: "),
    marked("positional arguments"),
    marked("options"),
    marked("show this help message and exit"),
    marked("%(prog)s: error: %(message)s\n"),
    marked("argument %(argument_name)s: %(message)s"),
    marked("unrecognized arguments: %s"),
    marked("the following arguments are required: %s"),
    marked("one of the arguments %s is required"),
    marked("not allowed with argument %s"),
    marked("expected one argument"),
    marked("expected at most one argument"),
    marked("expected at least one argument"),
    marked("ignored explicit argument %r"),
    marked("invalid %(type)s value: %(value)r"),
)
# its functions by the names that the module has for them: `from gettext import gettext as _, ngettext`
for _name, _function in {"_": looked_up, "ngettext": lambda one, many, n: one if n == 1 else many}.items():
    setattr(argparse, _name, _function)


class Parser(argparse.ArgumentParser):
    """A parser whose texts are inert on a terminal, and that reports text that cannot be printed."""

    def _print_message(self, message: str, file: Any = None) -> None:
        stream = file or sys.stderr
        stream.write("\n".join(map(printable, message.split("\n"))))
        stream.flush()

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Reject a value that is not one of the choices."""
        choices = [*map(str, action.choices or ())]
        if choices and value not in choices:
            fault = message("unknown value {value}", value=repr(value))
            raise argparse.ArgumentError(action, str(choose_from(fault, value, choices)))

    def reject(self, words: Sequence[str], left: Sequence[str], whole: Callable[[], Parser]) -> NoReturn:
        """End the program with the complaint about arguments that nothing takes.

        Args:
            words: all arguments.
            left: those that nothing takes.
            whole: returns the parser of all commands.
        """
        commands = self.commands
        parser = next((commands[word] for word in words if word in commands), self)
        parser.error(str(parser.unknown(left[0], whole)))

    @property
    def commands(self) -> dict[str, Parser]:
        """The parsers of the commands, by name."""
        return {
            name: parser
            for action in self._actions
            if isinstance(action, argparse._SubParsersAction)
            for name, parser in action.choices.items()
            if isinstance(parser, Parser)
        }

    @property
    def options(self) -> list[str]:
        """The long options, without their dashes."""
        names = (name for action in self._actions for name in action.option_strings)
        return [name.removeprefix("--") for name in names if name.startswith("--")]

    def unknown(self, word: str, whole: Callable[[], Parser]) -> Message:
        """Return the complaint about an argument that nothing takes.

        Args:
            word: the argument.
            whole: returns the parser of all commands.
        """
        known = self.options
        if word.startswith("-"):
            option = word.partition("=")[0]
            name = option.removeprefix("--")
            near = did_you_mean(name, known, before="--")
            others = [] if near else [one.prog for one in whole().commands.values() if name in one.options]
            fault = message("unknown option {option}", option=option)
            if others:
                return message("{fault}; it belongs to: {commands}", fault=fault, commands=", ".join(others))
            help_ = message("see {command} --help", command=self.prog)
            return message_joined("; ", (fault, near or help_))
        fault = message("unexpected argument {word}", word=repr(word))
        if not {"from", "expect"} <= {*known}:
            return fault
        return message(
            "{fault}; ask with --from and --to, for example: --from client --to web:80", fault=fault
        )


class Help(argparse.HelpFormatter):
    """Help texts of up to 80 columns: a usage in one line, paragraphs; indented lines stay as they are."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26)

    def add_usage(
        self, usage: str | None, actions: Iterable[argparse.Action], groups: Any, prefix: str | None = None
    ) -> None:
        """Show only required arguments; the options are listed below anyway."""
        shown = list(actions)
        needed = [action for action in shown if not action.option_strings or action.required]
        if usage is None and len(shown) - len(needed) > _LISTED_OPTIONS:
            needed.sort(key=lambda action: bool(action.option_strings))
            words = [word for action in needed for word in (*action.option_strings[:1], _placeholder(action))]
            usage = " ".join(["%(prog)s", *words, "[OPTION]..."])
        super().add_usage(usage, shown, groups, prefix)

    def format_help(self) -> str:
        """Use the colon of the current language in headings."""
        return re.sub(r"(?<=[\u2e80-\uffef]):$", "：", super().format_help(), flags=re.MULTILINE)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return wrapped(" ".join(text.split()), width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wrap paragraphs."""
        lines: list[str] = []
        paragraph = ""
        for line in [*text.splitlines(), " "]:
            if not line.startswith(" "):
                paragraph += line if _joins(paragraph, line) else f" {line}"
                continue
            lines += wrapped(paragraph.strip(), width)
            lines += [line.rstrip()] if line.strip() or lines else []
            paragraph = ""
        return "\n".join(indent + line for line in lines).rstrip()


def _joins(before: str, after: str) -> bool:
    """Return whether two lines join without a space: where ideographs or their punctuation meet."""
    return any(_width(sign) == 2 for sign in (before[-1:], after[:1]) if sign)


def wrapped(text: str, width: int) -> list[str]:
    """Return text as lines of up to `width` columns. An ideograph takes two.

    >>> wrapped("a rule matches", 7), wrapped("規則 A，符合。", 7)
    (['a rule', 'matches'], ['規則', 'A，符', '合。'])
    """
    lines: list[str] = []
    line = ""
    for unit in re.findall(_UNIT, text):
        if line and _width((line + unit).rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
        line += unit
    return [*lines, line.rstrip()] if line else lines


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def _placeholder(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest)
    return f"[{name}]" if action.nargs == "?" else name
