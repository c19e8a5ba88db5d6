"""Rows of results, the tables that they make, and what must be zero in them."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct


class Row(Struct, frozen=True, kw_only=True):
    """What a scenario did to a library.

    `tried` counts what `unit` names. `spare` are refreshes beyond the one that was due. `lost` are grants that are gone
    though they could have been kept, `unavoidable` those that nobody could keep (strict rotation, and killed or cut off
    between Kick's rotation and the save). `failed` are calls that should have succeeded; `unclear` are errors over a
    grant that is gone which do not say so, and over a file which do not name it; `outside` are errors outside the
    library's own tree.
    """

    scenario: str
    subject: str
    library: str
    unit: str
    tried: int
    processes: int = 0
    refreshes: int = 0
    spare: int = 0
    lost: int = 0
    unavoidable: int = 0
    failed: int = 0
    unclear: int = 0
    outside: int = 0
    secrets: int = 0
    seconds: float = 0.0
    note: str = ""


MUST_BE_ZERO: Final = {
    "spare": "refreshes beyond one",
    "lost": "grants lost",
    "failed": "calls failed that should not",
    "unclear": "errors that do not say what is wrong",
    "outside": "errors outside the library's tree",
    "secrets": "secrets seen",
}
TRIED: Final = (
    "callers",
    "processes",
    "kills",
    "kill points",
    "save points",
    "cancellation points",
    "bad answers",
    "lost answers",
    "bad files",
)

_HEADS: Final = {
    "tried": "tried",
    "refreshes": "refreshes",
    "spare": "beyond one",
    "lost": "lost",
    "unavoidable": "unavoidable",
    "failed": "failed",
    "unclear": "unclear",
    "outside": "outside",
    "secrets": "secrets",
}


def faults(rows: Iterable[Row]) -> list[str]:
    """What is not zero and must be."""
    return [
        f"{row.subject}, {row.scenario}: {getattr(row, name):,} {told}"
        for row in rows
        for name, told in MUST_BE_ZERO.items()
        if getattr(row, name)
    ]


def table(scenario: str, rows: Iterable[Row]) -> str:
    """The rows of a scenario, one library beside the other."""
    lines = [f"\n{scenario}", f"  {'':18}" + "".join(f"{head:>12}" for head in _HEADS.values()) + f"{'seconds':>9}"]
    for row in rows:
        cells = "".join(f"{getattr(row, name):>12,}" for name in _HEADS)
        lines.append(f"  {row.subject:18}{cells}{row.seconds:>9.1f}")
        if row.note:
            lines.append(f"  {'':18}    {row.note}")
    return "\n".join(lines)


def summary(rows: list[Row]) -> str:
    """The totals of each library, side by side."""
    libraries = list(dict.fromkeys(row.library for row in rows))
    lines = ["\nIn all" + " " * 58 + "".join(f"{library:>12}" for library in libraries)]

    def line(name: str, counts: list[int]) -> None:
        lines.append(f"  {name:62}" + "".join(f"{count:>12,}" for count in counts))

    for unit in TRIED:
        line(f"{unit}", [total(rows, library, unit) for library in libraries])
    inputs = ("bad answers", "lost answers", "bad files")
    line("bad inputs, all three", [sum(total(rows, library, unit) for unit in inputs) for library in libraries])
    told = {**MUST_BE_ZERO, "unavoidable": "grants lost that nobody could keep"}
    for name, text in told.items():
        line(text, [sum(getattr(row, name) for row in rows if row.library == library) for library in libraries])
    return "\n".join(lines)


def total(rows: Iterable[Row], library: str, unit: str) -> int:
    own = [row for row in rows if row.library == library]
    tried = sum(row.tried for row in own if row.unit == unit)
    return tried if unit != "processes" else sum(row.processes for row in own)
