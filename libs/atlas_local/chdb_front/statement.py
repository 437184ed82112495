"""What a statement is, read from its text: an INSERT that brings its rows, or else in which format it answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    rb"""
      (?P<space>\s+ | --[^\n]* | /\*.*?\*/)
    | (?P<quoted>'(?:[^'\\]|\\.|'')*' | `(?:[^`\\]|\\.|``)*` | "(?:[^"\\]|\\.|"")*")
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<number>[0-9][A-Za-z0-9_.]*)
    | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
# What the server skips between the name of the format and the first byte of the data.
_BEFORE_DATA = re.compile(rb"[ \t\f]*\r?\n?")


@dataclass(frozen=True, slots=True)
class InlineInsert:
    """An INSERT whose rows follow its text: `target` is what stands before SETTINGS, VALUES and FORMAT.

    `data` is the untouched bytes of the rows; `selects` says that the target reads them through a SELECT.
    """

    target: str
    settings: str
    format: str
    selects: bool
    data: memoryview


@dataclass(frozen=True, slots=True)
class Statement:
    """Any other statement. `format` is the one that its FORMAT clause names, or None."""

    text: str
    format: str | None


@dataclass(frozen=True, slots=True)
class _Word:
    upper: bytes
    start: int
    end: int


def read_statement(text: bytes) -> InlineInsert | Statement:
    """Return what this text asks for. The rows of an INSERT are never searched: nothing in them can look like SQL.

    Raises UnicodeDecodeError if the statement itself is not UTF-8.
    """
    words = _words_outside_parentheses(text)
    first = next(words, None)
    if first is not None and first.upper == b"INSERT":
        inline = _inline_insert(text, words)
        if inline is not None:
            return inline
    return Statement(text.decode(), _answer_format(text))


def _inline_insert(text: bytes, words: Iterator[_Word]) -> InlineInsert | None:
    """Return the INSERT split before its data, or None for one that selects its rows from elsewhere."""
    selects = False
    target_end = None
    for word in words:
        if word.upper in (b"SELECT", b"WITH", b"FROM", b"WATCH"):
            selects = True
        elif word.upper == b"SETTINGS":
            target_end = word.start
        elif word.upper == b"VALUES" and not selects:
            return _split(text, target_end, word, word.end, "Values")
        elif word.upper == b"FORMAT" and (name := next(words, None)) is not None:
            found = _split(text, target_end, word, name.end, text[name.start : name.end].decode(), selects=selects)
            return None if selects and not found.data else found
    return None


def _split(
    text: bytes, target_end: int | None, clause: _Word, format_end: int, name: str, *, selects: bool = False
) -> InlineInsert:
    gap = _BEFORE_DATA.match(text, format_end)
    data = memoryview(text)[gap.end() if gap is not None else format_end :]
    if name == "Values":
        data = _without_last_semicolon(data)
    elif len(data) <= 16 and bytes(data).strip() == b";":
        data = data[:0]
    target_end = clause.start if target_end is None else target_end
    target, settings = text[:target_end].decode().strip(), text[target_end : clause.start].decode().strip()
    return InlineInsert(target, settings, name, selects, data)


def _without_last_semicolon(data: memoryview) -> memoryview:
    """Return the rows without the semicolon that ends the statement: VALUES alone shares its text with SQL."""
    tail = bytes(data[-16:]).rstrip()
    return data[: len(data) - min(16, len(data)) + len(tail) - 1] if tail.endswith(b";") else data


def _answer_format(text: bytes) -> str | None:
    """Return the name that the last FORMAT clause gives, if only SETTINGS or the end follow it."""
    name = None
    words = list(_words_outside_parentheses(text))
    for index, word in enumerate(words[:-1]):
        after = words[index + 2] if index + 2 < len(words) else None
        if word.upper == b"FORMAT" and (after is None or after.upper == b"SETTINGS"):
            following = words[index + 1]
            name = text[following.start : following.end].decode()
    return name


def _words_outside_parentheses(text: bytes) -> Iterator[_Word]:
    depth = 0
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "sign":
            depth += {b"(": 1, b"[": 1, b"{": 1, b")": -1, b"]": -1, b"}": -1}.get(token[0], 0)
        elif token.lastgroup == "word" and depth == 0:
            yield _Word(token[0].upper(), token.start(), token.end())
