"""Rules of nftables as `nft list ruleset` prints them, without counters, from libnftables-json(5)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from iptsim.host.nft_values import counting_words, limit_words

#: Fields that nft prints without "meta".
_UNQUALIFIED = frozenset({"iif", "iifgroup", "iifname", "iiftype", "oif", "oifgroup", "oifname", "oiftype"})
#: Fields whose values nft prints in quotes.
_QUOTED = frozenset({"day", "hour", "ibrname", "iif", "iifname", "obrname", "oif", "oifname", "time"})
_OPERATORS = frozenset({"&", "<<", ">>", "^", "|"})
_MARKS = ({"meta": {"key": "mark"}}, {"ct": {"key": "mark"}})
#: How nft prints strings or numbers.
_Form = Literal["", "quoted", "mark"]
_TRANSLATIONS = frozenset({"dnat", "masquerade", "redirect", "snat", "tproxy"})


def rule_text(statements: Iterable[Mapping[str, Any]]) -> str:
    """Return a rule as nft prints it, its comment last.

    >>> port = {"payload": {"protocol": "tcp", "field": "dport"}}
    >>> rule_text([{"match": {"op": "==", "left": port, "right": 22}}, {"counter": {"packets": 1}}, {"accept": None}])
    'tcp dport 22 counter accept'
    """
    found = [(kind, value) for one in statements for kind, value in one.items()]
    found.sort(key=lambda one: one[0] == "comment")
    return " ".join(filter(None, (_statement(kind, value) for kind, value in found)))


def _statement(kind: str, value: Any) -> str:
    about = value if isinstance(value, Mapping) else {}
    if kind == "match":
        return _match(about)
    if kind in ("jump", "goto"):
        return f"{kind} {about.get('target', '...')}"
    if kind == "counter" or (kind in ("limit", "quota") and isinstance(value, str)):
        return f'{kind} name "{value}"' if isinstance(value, str) else kind
    if kind == "comment":
        return f'comment "{value}"'
    if kind == "limit":
        return limit_words(value)
    if kind == "log":
        prefix = f' prefix "{about["prefix"]}"' if "prefix" in about else ""
        return f"log{prefix}" + "".join(
            f" {name} {about[name]}" for name in ("level", "group") if name in about
        )
    if kind == "reject":
        words = [str(about[name]) for name in ("type", "expr") if name in about]
        return " ".join(["reject", *(["with"] if words else []), *words])
    if kind in _TRANSLATIONS:
        return _translation(kind, about)
    if kind == "mangle":
        form: _Form = "mark" if _is_mark(about.get("key")) else ""
        return f"{_value(about.get('key'))} set {_value(about.get('value'), form)}"
    if kind == "vmap":
        return f"{_value(about.get('key'))} vmap {_value(about.get('data'))}"
    if kind in ("set", "map"):
        inner = " ".join(filter(None, (_value(about.get("elem")), counting_words({kind: about}))))
        data = f" : {_value(about['data'])}" if "data" in about else ""
        return f"{about.get('op', 'add')} {about.get(kind)} {{ {inner}{data} }}"
    if kind == "ct count":
        return counting_words({kind: value})
    if kind == "queue":
        return f"queue to {_value(about['num'])}" if "num" in about else "queue"
    if kind == "fwd":
        to = [_value(about["addr"]), "device"] if "addr" in about else []
        words = [str(about.get("family", "")), "to", *to, f'"{_value(about.get("dev"))}"']
        return " ".join(filter(None, ("fwd", *words)))
    if kind == "flow":
        return f"flow add {about.get('flowtable', '')}".rstrip()
    if kind in ("ct helper", "ct timeout"):
        return f'{kind} set "{value}"'
    if kind == "xt":
        return f'xt {about.get("type", "match")} "{about.get("name", "?")}"'
    if kind == "unread":
        return "..."
    return kind


def _match(about: Mapping[str, Any]) -> str:
    left, right, op = about.get("left"), about.get("right"), str(about.get("op", "=="))
    if "right" not in about:
        return _value(left)
    is_masked = isinstance(left, Mapping) and not _OPERATORS.isdisjoint(left)
    sign = "" if op == "in" or (op == "==" and not is_masked) else f"{op} "
    meta = left.get("meta") if isinstance(left, Mapping) else None
    key = str(meta.get("key")) if isinstance(meta, Mapping) else ""
    if isinstance(right, bool):
        return f"{_value(left)} {sign}{'exists' if right else 'missing'}"
    form: _Form = "quoted" if key in _QUOTED else "mark" if _is_mark(left) else ""
    return f"{_value(left)} {sign}{_value(right, form)}"


def _translation(kind: str, about: Mapping[str, Any]) -> str:
    address, port = (_value(about[name]) if name in about else "" for name in ("addr", "port"))
    if ":" in address and port and "{" not in address:
        address = f"[{address}]"
    to = f"{address}:{port}" if port else address
    family = str(about.get("family", ""))
    words = [kind, family, *(["to", to] if to else []), *_names(about.get("flags", []))]
    return " ".join(filter(None, map(str, words)))


def _is_mark(expression: Any) -> bool:
    """Return whether an expression is a mark, or computed from one."""
    if not isinstance(expression, Mapping):
        return False
    operands = (expression[name] for name in _OPERATORS & expression.keys())
    return expression in _MARKS or any(
        _is_mark(one) for each in operands if isinstance(each, list) for one in each
    )


def _names(value: Any) -> list[str]:
    """Return one name or several as a list."""
    return list(map(str, value if isinstance(value, list) else [value]))


def _value(value: Any, form: _Form = "") -> str:
    """Return a value or an expression."""
    if isinstance(value, str):
        return f'"{value}"' if form == "quoted" and not value.startswith("@") else value
    if isinstance(value, int) and form == "mark":
        return f"0x{value:08x}"
    if isinstance(value, list):
        return ",".join(_value(one, form) for one in value)
    if not isinstance(value, Mapping) or len(value) != 1:
        return str(value)
    ((kind, about),) = value.items()
    if kind == "set":
        elements = about if isinstance(about, list) else [about]
        return f"{{ {', '.join(_element(one, form) for one in elements)} }}"
    if kind in ("concat", "range") and isinstance(about, list):
        return (" . " if kind == "concat" else "-").join(_value(one, form) for one in about)
    if kind in _OPERATORS and isinstance(about, list):
        inner: _Form = "mark" if form == "mark" or any(map(_is_mark, about)) else ""
        return f" {kind} ".join(_operand(one, inner) for one in about)
    if kind == "map" and isinstance(about, Mapping):
        return f"{_value(about.get('key'))} map {_value(about.get('data'), form)}"
    if isinstance(about, Mapping):
        return _field(kind, about)
    return json.dumps(value)


def _operand(value: Any, form: _Form) -> str:
    if isinstance(value, list):
        return f"({' | '.join(map(_value, value))})"
    text = _value(value, form)
    return f"({text})" if isinstance(value, Mapping) and not _OPERATORS.isdisjoint(value) else text


def _element(value: Any, form: _Form) -> str:
    if isinstance(value, list) and len(value) == 2:
        key, data = value
        verdict = isinstance(data, Mapping) and not {
            "accept",
            "continue",
            "drop",
            "goto",
            "jump",
            "return",
        }.isdisjoint(data)
        shown = rule_text([data]) if verdict else _value(data, "mark" if form == "mark" else "")
        return f"{_value(key, '' if form == 'mark' else form)} : {shown}"
    return _value(value, form)


def _field(kind: str, about: Mapping[str, Any]) -> str:
    """Return a field of a packet, of its connection or of its routes."""
    if kind == "prefix":
        return f"{about.get('addr')}/{about.get('len')}"
    if kind == "elem":
        return _value(about.get("val"))
    if kind == "fib":
        return f"fib {' . '.join(_names(about.get('flags')))} {about.get('result')}"
    if kind == "payload" and "base" in about:
        return f"@{about['base']},{about.get('offset')},{about.get('len')}"
    if kind in ("numgen", "jhash", "symhash"):
        inner = [str(about["mode"])] if "mode" in about else []
        inner += [_value(about["expr"])] if "expr" in about else []
        return " ".join([kind, *inner, "mod", str(about.get("mod"))])
    words = [_value(about[name]) for name in ("dir", "protocol", "name", "key", "field") if name in about]
    is_plain = kind in ("payload", "exthdr") or (kind == "meta" and str(about.get("key")) in _UNQUALIFIED)
    return " ".join(words if is_plain else [kind, *words])
