"""Placeholders that people write for values, `<port>`, `$IP`, `[your address]`, and the marks of what they cut out."""

from __future__ import annotations

import re

from iptsim.dump.words import IN_QUOTES

#: A placeholder in brackets, or a string, in which there is none.
_BRACKETED = re.compile(
    rf"\"{IN_QUOTES}\"|'[^']*'"
    r"|(?P<angle><[A-Za-z][^<>|;&\"'`]{0,60}(?<!\s)>)|(?<=\s)(?P<square>\[[A-Za-z][\w .-]{0,60}\])"
    r"|(?<=\s)(?P<curly>\{[A-Za-z][\w-]*(?: [\w-]+){1,5}\})(?=\s|$)"
)
#: A value that a shell, a template or the reader would fill in.
_UNKNOWN = re.compile(
    r"\$[A-Za-z_{(0-9]|`|%i$|<[A-Za-z][^<>]*>|\{\{"
    r"|^\{[A-Za-z][^{}]* [^{}]*\}$"
    r"|\[(?![0-9a-fA-F]{1,4}:)[A-Za-z][^]]*\]|(?:^|[^A-Za-z])(?:[Yy]our[_-]|YOUR[_-]|MY_[A-Z])"
)
#: A placeholder for the name of an interface: `ethX`, `INTERFACE`, `LAN_IF`.
_NO_INTERFACE = re.compile(
    r"(?:eth|en[ops]?|wlan|wl[ops]|wg|tun|tap|ppp|br|br-|veth|lan|wan)[xXnN#?]+\d*|[A-Z_]*(?:INTERFACE|IFACE|IFNAME|NIC)[A-Z_0-9]*"
    r"|(?:ext|int|wan|lan|out|in)_if(?:ace)?"
)
#: A mark of something that was cut out.
_CUT = re.compile(r"[\[(<]?(?:\.{2,}|snip(?:ped)?|cut|omitted|truncated)[\])>]?", re.IGNORECASE)


def protected(text: str) -> str:
    """Return a command with quotation marks around its bracketed placeholders, which are no syntax of the shell.

    >>> protected("iptables -s <your ip> --dport <port> -j ACCEPT > log")
    'iptables -s "<your ip>" --dport "<port>" -j ACCEPT > log'
    """
    if not set("<[{").intersection(text):
        return text
    return _BRACKETED.sub(
        lambda found: (
            f'"{found.group()}"' if found["angle"] or found["square"] or found["curly"] else found.group()
        ),
        text,
    )


def is_placeholder(text: str) -> bool:
    """Return whether the value of an option is a placeholder, or has one in it."""
    return _UNKNOWN.search(text) is not None


def is_no_interface(text: str) -> bool:
    """Return whether a name is a placeholder for an interface of the reader."""
    return _NO_INTERFACE.fullmatch(text) is not None


def is_cut(text: str) -> bool:
    """Return whether a word marks something that was cut out.

    >>> is_cut("..."), is_cut("[snip]"), is_cut("eth0")
    (True, True, False)
    """
    return _CUT.fullmatch(text) is not None
