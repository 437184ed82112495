"""The known answers, as the sets' authors of record published them, and the comparison with one that was computed."""

from __future__ import annotations

import math
import re
from datetime import datetime
from pathlib import Path

_ENTRY = re.compile(r"^- \*\*([BVMS]-[OA]\d)\*\* (.*)$", re.MULTILINE)
# What stands last before the answer, where no arrow does.
_BEFORE = {
    "B-A1": "at least 10,000 drive-days:",
    "B-A4": "(serial, growth, first, last):",
    "V-A1": "Observations per VM:",
    "M-A1": "Deliveries",
    "M-A2": "(count, mean):",
    "M-A3": "over distinct observations:",
    "M-A4": "(as delivered):",
    "M-A5": "(then name):",
    "S-O5": "by key prefix:",
    "S-A1": "by type:",
    "S-A2": "Distinct keys",
    "S-A3": "Devices with most values",
    "S-A4": "(interfaces, sum):",
    "S-A5": "Values under `1.3.6.1.2.1.`",
}
_TOKEN = re.compile(r"[^\s,;:|()`<>/=]+(?:,\d{3})*")


def known_answers() -> dict[str, tuple[str, str]]:
    """Return question and answer of each of the forty by name, such as B-O1."""
    text = (Path(__file__).parent / "ANSWERS.md").read_text(encoding="utf-8")
    found = {}
    for name, entry in _ENTRY.findall(text):
        question, _, answer = entry.partition(_BEFORE.get(name, "->"))
        found[name] = (question.strip(), answer.strip())
    return found


def difference(computed: str, known: str) -> str:
    """Return where two answers differ first, or nothing: words are compared as they are, numbers to 1e-6."""
    ours, theirs = tokens(computed), tokens(known)
    for place, (got, wanted) in enumerate(zip(ours, theirs, strict=False)):
        if got != wanted and not _close(got, wanted):
            around = " ".join(theirs[max(place - 3, 0) : place + 2])
            return f"{got!r} instead of {wanted!r} in '... {around} ...'"
    if len(ours) != len(theirs):
        longer = ours if len(ours) > len(theirs) else theirs
        rest = longer[min(len(ours), len(theirs)) :][:3]
        return f"{len(ours)} words instead of {len(theirs)}; the others begin with {rest}"
    return ""


def tokens(text: str) -> list[str]:
    """Return the words and numbers of an answer, without punctuation and thousands separators."""
    joined = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    return [word for token in _TOKEN.findall(joined) if (word := token.strip(".")) and word != "->"]


def shown(value: object) -> str:
    """Return a value as the answers write it; octets as the latin-1 text that they are there."""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def instant(time: datetime) -> str:
    """Return an instant as the answers write those of the virtual machines."""
    text = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{time.microsecond:06d}" if time.microsecond else text


def _close(one: str, other: str) -> bool:
    try:
        return math.isclose(float(one), float(other), rel_tol=1e-6)
    except ValueError:
        return False
