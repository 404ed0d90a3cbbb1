"""Reads the words of a rule as far as possible; unreadable parts stay in the rule as unknown conditions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from iptsim.addresses import Family
from iptsim.dump.binder import Binder
from iptsim.dump.extension_names import target_names
from iptsim.dump.plan import BindError, Bound, Plan
from iptsim.dump.words import Word
from iptsim.extensions.hidden import SHOW, Hidden, HiddenTarget, redacted_parts
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.parameters import SPELLINGS
from iptsim.extensions.unknown import UnknownMatch
from iptsim.languages import Text, message
from iptsim.paste.addresses import address_option
from iptsim.paste.listed import REMARK
from iptsim.paste.pieces import made_words
from iptsim.paste.placeholders import is_cut, is_no_interface, is_placeholder

_REDACTED = message("the Ethernet address is redacted")
#: With more unreadable parts than this, the whole rule is unreadable.
_MOST = 24
#: The number of shapes of rules that are remembered.
_MOST_PLANS = 8192
#: Words without placeholders, remarks and quotes.
_PLAIN = re.compile(r"(?:[\w.,:!+=-]|/(?!/))*", re.ASCII)
_ADDRESSES = {word: flag for word, flag in SPELLINGS.items() if flag in ("-s", "-d")}
#: Options whose values are free text, or set the rule's target.
_FREE = frozenset(
    {"--comment", "--log-prefix", "--nflog-prefix", "-j", "-g", "--jump", "--goto", "-m", "--match"}
)
JUMPS = frozenset({"-j", "--jump", "-g", "--goto"})
_INTERFACES = frozenset(word for word, flag in SPELLINGS.items() if flag in ("-i", "-o"))
#: Options of a rule itself, whatever its matches and target are.
_OWN = frozenset({*SPELLINGS, "-m", "--match", "!"})
#: Options that need a value.
_VALUED = frozenset(word for word, flag in SPELLINGS.items() if flag != "-f") | frozenset(
    {"--dport", "--sport", "--dports", "--sports", "--ctstate", "--state"}
)
#: Options that were renamed in later versions.
_OLD = {"--destination-port": "--dport", "--source-port": "--sport", "--to": "--to-destination"}


class Reading(NamedTuple):
    """The readable part of a rule.

    Attributes:
        plan / bound: the readable part, or None.
        hidden: the unreadable conditions.
        target: the target, if unreadable.
        complaints: its errors.
    """

    plan: Plan | None
    bound: Bound | None
    hidden: tuple[Hidden, ...]
    target: HiddenTarget | None
    complaints: tuple[Text, ...]


class RuleBinder:
    """Reads rules of one address family, in the form of one version of iptables."""

    def __init__(self, form: ListingForm) -> None:
        self.binder = Binder(form)
        self.family: Family = 6 if form.family == 6 else 4
        #: how to read whole rules, by their shapes, and the words that determine a shape
        self._plans: dict[tuple[str | None, ...], Plan] = {}
        self._keep = {word: word for word in ("!", "-", *target_names())}

    def read(self, words: Sequence[Word], line: int) -> Reading:
        """Read a rule.

        Args:
            words: the words from its command on: `-A INPUT -p tcp ...`.
            line: its line.
        """
        texts = [word.text for word in words]
        known = self._known(texts)
        if known is not None:
            return Reading(*known, (), None, ())
        left = _without_remark(list(words))
        hidden: list[Hidden] = []
        complaints: list[Text] = []
        for part, condition in reversed(redacted_parts([word.text for word in left], line)):
            del left[part]
            hidden.append(condition)
            complaints.append(_REDACTED)
        left = _without_variables(left, hidden)
        variables = bool(hidden)
        left, target = self._unknown_target(left)
        breaks_off = texts[-1] in _VALUED or any(map(is_cut, texts))
        #: where the last unreadable option stood
        removed = -1
        for _ in range(_MOST):
            line_words = list(left)
            try:
                plan, bound = self._plan(line_words)
            except BindError as error:
                if len(line_words) != len(left):
                    left = line_words  # a value joined to its option has been split off
                start, end = _clause(left, error.at)
                if start <= 1:
                    break
                part = left[start:end]
                if end == removed and part[0].text in ("-m", "--match"):
                    # it lacks only the option that could not be read
                    name = " ".join(word.raw for word in part)
                    hidden[-1] = _unknown(f"{name} {hidden[-1].words}", line)
                    left, removed = left[:start] + left[end:], start
                    continue
                if variables and part[0].text in ("-m", "--match"):
                    # its only option has a value that is not known
                    left = left[:start] + left[end:]
                    continue
                breaks_off |= end >= len(left)
                if any(word.text in JUMPS for word in part) or _behind_jump(left, start):
                    target, left = self._target(left), left[: _jump_at(left)]
                else:
                    read = self._address(part, line, hidden)
                    left, removed = left[:start] + read + left[end:], -1 if read else start
                if not (hidden and hidden[-1].words.startswith(("-s", "-d", "! "))):
                    complaints.append(error.message)
                continue
            if line_words == left and target is None and plan.cacheable and not plan.counters:
                self._remember(plan, [word.text for word in left])
            if (
                target is None
                and _jump_at(words) == len(words)
                and (breaks_off or _ends_in_unknown(texts, plan))
            ):
                # the target may be in what is missing
                target = self._target([])
            return Reading(plan, bound, tuple(hidden), target, tuple(complaints))
        text = " ".join(word.raw for word in words[2:])
        complaints.append(message("the rule can't be read"))
        return Reading(
            None,
            None,
            (_unknown(text, line),),
            HiddenTarget(
                name="?", reason=message("what the rule of line {line} does", line=line), settle=SHOW
            ),
            tuple(complaints),
        )  # fmt: skip

    def _plan(self, words: list[Word]) -> tuple[Plan, Bound]:
        """Return how to read the words of a rule, and what they mean; words joined to an option are split off.

        Raises:
            BindError: they are not valid.
        """
        known = self._known([word.text for word in words])
        if known is not None:
            return known
        plan = self.binder.plan(words)
        return plan, plan.run([word.text for word in words])

    def _known(self, texts: Sequence[str]) -> tuple[Plan, Bound] | None:
        """Return the same by the plan of an earlier rule of the same shape; None if there was none."""
        known = self._plans.get(tuple(map(self._keep.get, texts)))
        if known is not None and _PLAIN.fullmatch("".join(texts)):
            with suppress(BindError):
                return known, known.run(texts)
        return None

    def _remember(self, plan: Plan, texts: Sequence[str]) -> None:
        """Read further rules of the same shape by the same plan."""
        if len(self._plans) < _MOST_PLANS and not plan.ignored:
            for index in plan.keep:
                self._keep[texts[index]] = texts[index]
            self._plans[tuple(map(self._keep.get, texts))] = plan

    def _address(self, part: list[Word], line: int, hidden: list[Hidden]) -> list[Word]:
        """Return the readable words of a faulty part; the rest goes to `hidden`."""
        negated = part[0].text == "!"
        flag, *values = [word.text for word in part[1 if negated else 0 :]]
        if flag in _ADDRESSES and len(values) == 1:
            text = f"!{values[0]}" if negated else values[0]
            words, unknown = address_option(_ADDRESSES[flag], text, self.family)
            if unknown is not None:
                hidden.append(unknown)
                return []
            if [word.text for word in part] != words:
                return [*made_words(words)]
        hidden.append(_unknown(" ".join(word.raw for word in part), line))
        return []

    def _unknown_target(self, words: list[Word]) -> tuple[list[Word], HiddenTarget | None]:
        """Return a rule without its target, and the target, if one of the target's options has a placeholder."""
        start = _jump_at(words)
        end = start + 2
        while end < len(words) and words[end].text not in _OWN:
            end += 1
        options = words[start + 2 : end]
        if any(
            is_placeholder(word.text) and before.text not in _FREE
            for before, word in zip(words[start + 1 :], options, strict=False)
        ):
            return words[:start] + words[end:], self._target(words[:end])
        return words, None

    def _target(self, words: list[Word]) -> HiddenTarget:
        at = _jump_at(words)
        name = words[at + 1].text if at + 1 < len(words) else "?"
        rest = " ".join(word.raw for word in words[at + 2 :])
        return HiddenTarget(
            name=name,
            words=rest,
            reason=message("what -j {name} {options} does", name=name, options=rest)
            if rest
            else message("what -j {name} does", name=name),
            settle=SHOW,
        )


def _unknown(text: str, line: int) -> Hidden:
    return Hidden(
        words=text,
        reason=message("what {words} means, which iptsim can't read", words=text),
        settle=SHOW,
        place=("unread", line, text),
    )


def _ends_in_unknown(texts: Sequence[str], plan: Plan) -> bool:
    """Return whether a rule ends in the name of a match that does not exist: part of a name."""
    return (
        texts[-2] in ("-m", "--match")
        and bool(plan.matches)
        and issubclass(plan.matches[-1].extension, UnknownMatch)
    )


def _without_remark(words: list[Word]) -> list[Word]:
    """Remove a remark after a rule: `<-- this one`."""
    jump = _jump_at(words)
    for place in range(jump + 2, len(words)):
        if REMARK.match(words[place].raw):
            return words[:place]
    return words


def _without_variables(words: list[Word], hidden: list[Hidden]) -> list[Word]:
    """Remove from a rule what only a shell, or the author, knows: placeholders, and what was cut out."""
    kept, place = words[:2], 2
    jump = _jump_at(words)
    while place < len(words):
        if is_cut(words[place].text):
            hidden.append(_not_known(words[place].text))
            place += 1
            continue
        _, end = _clause(words, place + (words[place].text == "!"))
        part = words[place : max(end, place + 1)]
        while len(part) > 1 and is_cut(part[-1].text) and not _begins(part[-2]):
            part.pop()
        options = {word.text for word in part[:2]}
        of_target = jump < place and words[place].text not in _OWN
        if not options & _FREE and not of_target and _has_placeholder(part):
            hidden.append(_not_known(" ".join(word.text for word in part)))
        else:
            kept += part
        place += len(part)
    return kept


def _has_placeholder(part: list[Word]) -> bool:
    """Return whether an option has a placeholder as its value, or a value that was taken out."""
    option = next((word.text for word in part if word.text != "!"), "")
    values = [word.text for word in part if word.text not in ("!", option)]
    if not values and option in _VALUED:
        return True
    if option in _INTERFACES and any(map(is_no_interface, values)):
        return True
    return any(is_placeholder(value) or is_cut(value) for value in values)


def _not_known(text: str) -> Hidden:
    reason = message("the value of {words}", words=text)
    return Hidden(words=text, reason=reason, settle=SHOW, place=("variable", text))


def _jump_at(words: Sequence[Word]) -> int:
    return next((place for place, word in enumerate(words) if word.text in JUMPS), len(words))


def _behind_jump(words: Sequence[Word], at: int) -> bool:
    """Return whether a part belongs to the target: it follows the target, and is not an option of the rule itself."""
    jump = _jump_at(words)
    return jump < at and not any(word.text in _OWN for word in words[at : at + 2])


def _clause(words: Sequence[Word], at: int) -> tuple[int, int]:
    """Return the start of a word's option, including a preceding `!`, and the start of the next option."""
    start = min(at, len(words) - 1)
    while start > 0 and not _begins(words[start]):
        start -= 1
    end = start + 1
    while end < len(words) and not _begins(words[end]) and words[end].text != "!":
        end += 1
    # before 1.4.3, iptables wrote the `!` after the option
    if end < len(words) and words[end].text == "!" and end + 1 < len(words) and not _begins(words[end + 1]):
        end += 2
    if start > 0 and words[start - 1].text == "!":
        start -= 1
    return start, end


def _begins(word: Word) -> bool:
    return re.match(r"--?[A-Za-z]", word.text) is not None and word.raw[:1] != '"'
