"""Rules after edits, which share the rules before: they are what a list would hold after the same edits."""

from __future__ import annotations

from random import Random

import pytest

from iptsim.dump import dumps, loads
from iptsim.dump.edited_rules import EditedRules, changes
from iptsim.dump.rule import Rule
from tests.thoroughness import first_ones

_CHAIN = (
    "*filter\n:INPUT ACCEPT [0:0]\n"
    + "".join(f"-A INPUT -s 10.0.0.{n} -j DROP\n" for n in range(40))
    + "COMMIT\n"
)


def rules_of(text: str) -> list[Rule]:
    return list(loads(text).rules())


@pytest.mark.parametrize("edits", [3, 100])
@pytest.mark.parametrize("seed", first_ones(range(40), 10))
def test_edits_are_those_of_a_list(seed: int, edits: int) -> None:
    random = Random(seed)
    before = rules_of(_CHAIN)
    edited, expected = EditedRules(before), list(before)
    for number in range(edits):
        place = random.randrange(len(expected) + 1)
        new = rules_of(f"*filter\n-A INPUT -s 10.1.0.{number} -j ACCEPT\nCOMMIT\n")[0]
        kind = random.choice(("insert", "append", "delete", "replace"))
        if kind == "insert":
            edited.insert(place, new)
            expected.insert(place, new)
        elif kind == "append" or place == len(expected):
            edited.append(new)
            expected.append(new)
        elif kind == "delete":
            del edited[place]
            del expected[place]
        else:
            edited[place] = expected[place] = new
        if number % 5 == 0:
            assert edited[place // 2].position == place // 2 + 1
    assert [rule.text for rule in edited] == [rule.text for rule in expected]
    assert [rule.position for rule in edited] == list(range(1, len(expected) + 1))
    assert [rule.position for rule in before] == list(range(1, 41))
    assert [edited[place].text for place in range(-3, 3)] == [expected[place].text for place in range(-3, 3)]
    gone = sorted(rule.text for rule in edited.removed)
    kept = sorted({rule.text for rule in expected})
    assert sorted({rule.text for rule in [*before, *edited.added]} - set(kept)) == sorted(
        set(gone) - set(kept)
    )


def test_what_a_fragment_changes_is_known() -> None:
    base = loads("*nat\nCOMMIT\n" + _CHAIN.replace("COMMIT", "-A FORWARD -j DROP\nCOMMIT"))
    commands = "-D INPUT 3\n-I INPUT 5 -p tcp -j DROP\n-P FORWARD DROP\n"
    edited = loads(f"*filter\n{commands}COMMIT\n*raw\n-A OUTPUT -j DROP\nCOMMIT\n", onto=base)

    added, removed = changes(base, edited)
    assert sorted(rule.text for rule in added) == ["-A INPUT -p tcp -j DROP", "-A OUTPUT -j DROP"]
    assert [rule.text for rule in removed] == ["-A INPUT -s 10.0.0.2/32 -j DROP"]
    assert edited.tables["nat"] is base.tables["nat"]
    assert base.chain("filter", "FORWARD").policy == "ACCEPT"  # type: ignore[union-attr]
    assert dumps(loads(dumps(edited))) == dumps(edited)


def test_fragments_on_top_of_another_share_the_rules_of_both() -> None:
    base = loads(_CHAIN)
    once = loads("*filter\n-I INPUT -p tcp -j DROP\nCOMMIT\n", onto=base)
    twice = loads("*filter\n-D INPUT -p tcp -j DROP\n-I INPUT -p udp -j DROP\nCOMMIT\n", onto=once)

    added, _ = changes(base, twice)
    assert "-A INPUT -p udp -j DROP" in {rule.text for rule in added}
    assert [rule.text for rule in twice.rules()][:2] == [
        "-A INPUT -p udp -j DROP",
        "-A INPUT -s 10.0.0.0/32 -j DROP",
    ]
    assert [rule.text for rule in once.rules()][:2] == [
        "-A INPUT -p tcp -j DROP",
        "-A INPUT -s 10.0.0.0/32 -j DROP",
    ]


@pytest.mark.parametrize("command", ["-Z", "-Z INPUT", "-F", "-E USER NEW", "-X USER"])
def test_commands_on_whole_tables_leave_the_rules_before_as_they_are(command: str) -> None:
    text = "*filter\n:INPUT ACCEPT [0:0]\n:USER - [0:0]\n[7:8] -A INPUT -j DROP\nCOMMIT\n"
    base = loads(text)
    before = dumps(base)
    edited = loads(f"*filter\n{command}\nCOMMIT\n", onto=base)
    assert dumps(base) == before
    assert dumps(edited) != before
