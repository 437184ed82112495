"""A run as a drawing: faults as bands, writes, and for each source the claims over the true staleness. SVG, by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from checker.checks import answered
from checker.history import History, WriteAcknowledged
from checker.index import Facts
from checker.timing import fault_spans, true_staleness

WIDTH, LEFT, RIGHT = 1100, 110, 12
BAND, LANE, GAP = 18, 150, 26
SOURCES = ("primary", "replica", "olap")
_MOST = 4_000  # points of one source; more cannot be told apart
_FEW = 800  # are drawn larger


@dataclass(frozen=True, slots=True)
class Scale:
    """Instants of a run to horizontal places."""

    begin: int
    end: int

    def x(self, at: int) -> float:
        """Return the place of an instant."""
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (at - self.begin) / max(self.end - self.begin, 1), 1)


@dataclass(frozen=True, slots=True)
class Lane:
    """Ages of one source to vertical places: the root of an age, so that small ones are seen beside great ones."""

    bottom: float
    oldest: int

    def y(self, age: int) -> float:
        """Return the place of an age."""
        return round(self.bottom - LANE * float((max(age, 0) / max(self.oldest, 1)) ** 0.5), 1)


def drawn(facts: Facts) -> str:
    """Return the timeline of a run as one SVG element; of an empty history an empty text."""
    events = facts.history.events
    if not events:
        return ""
    claims = [
        (answer.source, read.sent.at, answer.claim, true_staleness(read))
        for read, answer in answered(facts)
        if answer.claim is not None
    ]
    scale = Scale(events[0].at, events[-1].at)
    faults, top = _faults(facts.history, scale)
    parts = _writes(facts.history, scale, top + LANE / 2)
    bottom = top + LANE / 2 + GAP
    for source in SOURCES:
        bottom += LANE
        points = [(at, claim, true) for name, at, claim, true in claims if name == source]
        parts += _lane(source, points, scale, bottom)
        bottom += GAP
    parts = [*_bands(facts.history, scale, bottom - GAP), *parts, *faults, *_seconds(scale, bottom)]
    height = int(bottom + 24)
    told = f"{len(claims)} claims of {len(SOURCES)} sources over the true staleness, with {len(faults) // 2} faults"
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="timeline-title timeline-text">'
        f'<title id="timeline-title">Timeline of the run</title><desc id="timeline-text">{told}</desc>'
        + "".join(parts)
        + "</svg>"
    )


def _faults(history: History, scale: Scale) -> tuple[list[str], float]:
    """Return a bar for each fault with its name, and where they end; bars that overlap stand one below the other."""
    rows: list[int] = []
    parts = []
    for fault, end in fault_spans(history):
        row = next((index for index, until in enumerate(rows) if until < fault.at), len(rows))
        # The name needs room too.
        until = max(end, fault.at + _room(history))
        rows[row : row + 1] = [until]
        x, y = scale.x(fault.at), GAP + row * BAND
        width = max(scale.x(end) - x, 2)
        name = escape(f"{fault.kind} {fault.target}")
        parts.append(f'<rect class="fault" x="{x}" y="{y}" width="{width:.1f}" height="{BAND - 4}"/>')
        parts.append(f'<text class="name" x="{x + 3}" y="{y + BAND - 8}">{name}</text>')
    return parts, GAP + len(rows) * BAND


def _room(history: History) -> int:
    return (history.events[-1].at - history.events[0].at) // 5


def _writes(history: History, scale: Scale, bottom: float) -> list[str]:
    """Return a bar for the writes acknowledged in each of 200 spans of the run."""
    begin, end = history.events[0].at, history.events[-1].at
    width = max((end - begin) // 200, 1)
    counts: dict[int, int] = {}
    for event in history.events:
        if isinstance(event, WriteAcknowledged):
            span = (event.at - begin) // width
            counts[span] = counts.get(span, 0) + 1
    most = max(counts.values(), default=1)
    height = LANE / 2 - 12
    parts = [_label("writes", bottom, f"{most} a bar at most")]
    for span, count in counts.items():
        tall = height * count / most
        x = scale.x(begin + span * width)
        parts.append(f'<rect class="write" x="{x}" y="{bottom - tall:.1f}" width="4" height="{tall:.1f}"/>')
    return parts


def _bands(history: History, scale: Scale, bottom: float) -> list[str]:
    """Return a band for each fault, over all lanes."""
    return [
        f'<rect class="band" x="{scale.x(fault.at)}" y="{GAP}" height="{bottom - GAP:.0f}"'
        f' width="{max(scale.x(end) - scale.x(fault.at), 2):.1f}"/>'
        for fault, end in fault_spans(history)
    ]


def _lane(source: str, points: Sequence[tuple[int, int, int]], scale: Scale, bottom: float) -> list[str]:
    thin = points[:: max(len(points) // _MOST, 1)]
    oldest = max((max(claim, true) for _, claim, true in points), default=0)
    lane = Lane(bottom, oldest)
    size = "few" if len(thin) < _FEW else "many"
    return [
        *_grid(lane),
        _label(source, bottom, f"{len(points):,} claims"),
        f'<path class="claim {size}" d="{_dots(((at, claim) for at, claim, _ in thin), scale, lane)}"/>',
        f'<path class="true {size}" d="{_dots(((at, true) for at, _, true in thin if true), scale, lane)}"/>',
        *(
            f'<circle class="false" cx="{scale.x(at)}" cy="{lane.y(claim)}" r="5"/>'
            for at, claim, true in points
            if true >= claim
        ),
    ]


def _grid(lane: Lane) -> list[str]:
    """Return a line at no age and at a few round ages of the lane, with their names."""
    round_ages = [step * 10**power for power in range(5, 14) for step in (1, 3)]
    marks = [age for age in round_ages if lane.oldest / 40 < age <= lane.oldest][-4:]
    return [
        f'<line class="ground" x1="{LEFT}" y1="{lane.y(age)}" x2="{WIDTH - RIGHT}" y2="{lane.y(age)}"/>'
        f'<text class="tick" x="{LEFT - 6}" y="{lane.y(age) + 4}">{age / 1e6:g} ms</text>'
        for age in (0, *marks)
    ]


def _dots(points: Iterable[tuple[int, int]], scale: Scale, lane: Lane) -> str:
    """Return the points as a path of strokes of no length with round ends: drawn faster than as many circles."""
    return "".join(f"M{scale.x(at)} {lane.y(age)}h0" for at, age in points)


def _label(name: str, bottom: float, detail: str) -> str:
    return (
        f'<text class="lane" x="4" y="{bottom - LANE / 4:.0f}">{name}</text>'
        f'<text class="detail" x="4" y="{bottom - LANE / 4 + 14:.0f}">{detail}</text>'
    )


def _seconds(scale: Scale, y: float) -> list[str]:
    begin, end = scale.begin, scale.end
    step = next(
        one for one in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 10**9) if (end - begin) / 1e9 / one <= 16
    )
    marks = range(0, int((end - begin) / 1e9) + 1, step)
    return [f'<text class="second" x="{scale.x(begin + mark * 10**9)}" y="{y + 8}">{mark} s</text>' for mark in marks]
