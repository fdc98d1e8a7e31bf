#!/usr/bin/env python3
"""Draws docs/architecture.svg from the rooms the code really has: `python3 scripts/architecture.py`, `--check` compares.

The rooms and the words in them are read from the two `lib.rs` and from each module's own first sentence; only where a
room stands is said here. A room without a place, a place without a room, and rooms that use each other in a circle are
errors.
"""

from __future__ import annotations

import re
import sys
import textwrap
from html import escape
from pathlib import Path
from typing import Dict, List, Set, Tuple

CHECKOUT = Path(__file__).resolve().parent.parent
DRAWING = CHECKOUT / "docs/architecture.svg"
CRATES = {"humea": CHECKOUT / "src", "data_process": CHECKOUT / "data_process/src"}

# Rows from top to bottom; data falls downhill. A row is a heading and the rooms in it, left to right.
ROWS: List[Tuple[str, List[str]]] = [
    ("raw files → graphs, vectors", ["data_process::sources", "data_process::vectors", "data_process::pair",
                                     "data_process::values", "data_process::texts", "data_process::words", "data_process::split"]),
    ("store (Parquet)", ["data_process::store", "data_process::schema", "data_process::tables", "humea::plm", "humea::vision"]),
    ("store → tensors", ["humea::inputs", "humea::modality", "humea::device", "humea::transfer"]),
    ("tensors → model", ["humea::model", "humea::product", "humea::gradient", "humea::loss", "humea::noise", "humea::train"]),
    ("model → pairs, report", ["humea::evidence", "humea::eval", "humea::align", "humea::run", "humea::report"]),
    ("what holds it together", ["humea::cli", "humea::config", "humea::pipeline", "humea::progress", "humea::interrupt", "humea::refusal",
                                "data_process::event", "data_process::fault", "data_process::digest",
                                "data_process::aside", "data_process::safetensors_file"]),
]
BOX, HIGH, GAP, LEFT, TOP = 176, 92, 12, 150, 56


def rooms() -> Dict[str, str]:
    """Every public module of both crates and the first sentence of its own description."""
    found = {}
    for crate, folder in CRATES.items():
        for name in re.findall(r"^pub mod (\w+);", (folder / "lib.rs").read_text(), re.MULTILINE):
            file = folder / f"{name}.rs"
            file = file if file.is_file() else folder / name / "mod.rs"
            found[f"{crate}::{name}"] = first_sentence(file.read_text())
    return found


def first_sentence(source: str) -> str:
    """The first sentence of a module's `//!` lines, without links and code marks."""
    lines = [line[3:].strip() for line in source.splitlines() if line.startswith("//!")]
    text = " ".join(lines[: lines.index("")] if "" in lines else lines)
    text = re.sub(r"\[([^\]]*)\](\([^)]*\))?", r"\1", text).replace("`", "")
    return re.split(r"\.\s", text + " ", maxsplit=1)[0].strip()


def misplaced(present: Dict[str, str]) -> List[str]:
    """Complaints about rooms that are not drawn; rooms drawn ahead of being built are left out silently."""
    placed = {room for _heading, row in ROWS for room in row}
    return [f"{room} has no place in ROWS of scripts/architecture.py" for room in present if room not in placed]


def uses() -> Dict[str, Set[str]]:
    """For each room of humea those that its code, tests apart, names."""
    found: Dict[str, Set[str]] = {}
    folder = CRATES["humea"]
    for file in folder.rglob("*.rs"):
        room, *rest = file.relative_to(folder).with_suffix("").parts
        if any("tests" in part for part in rest):
            continue
        code = re.split(r"#\[cfg\(test\)\]\nmod tests \{", file.read_text())[0]
        code = re.sub(r"//.*", "", code)
        named = set(re.findall(r"\bcrate::(\w+)", code))
        for several in re.findall(r"\bcrate::\{(.*?)\};", code, re.DOTALL):
            named |= set(re.findall(r"(?:^|,)\s*(\w+)", several))
        found.setdefault(room, set()).update(named - {room})
    return found


def circles(uses: Dict[str, Set[str]]) -> List[str]:
    """Complaints about rooms that use each other, directly or by way of others."""
    reach = {room: set(named) for room, named in uses.items()}
    for _step in reach:
        for named in reach.values():
            named.update(*(reach.get(other, set()) for other in list(named)))
    together = {frozenset(other for other in named if room in reach.get(other, set()))
                for room, named in reach.items() if room in named}
    return [f"{', '.join(sorted(rooms))} use each other" for rooms in together]


def draw(present: Dict[str, str]) -> str:
    """The whole picture."""
    rows = [(heading, [room for room in row if room in present]) for heading, row in ROWS]
    wide = LEFT + max(len(row) for _heading, row in rows) * (BOX + GAP) + GAP
    high = TOP + len(rows) * (HIGH + 2 * GAP) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif" font-size="11">',
        "<title>The rooms of humea: data falls downhill from raw files to the report</title>",
        f'<rect width="{wide}" height="{high}" fill="#fcfcfa"/>',
        '<text x="16" y="30" font-size="16" font-weight="bold">humea: raw files → store → tensors → model → report</text>',
    ]
    for number, (heading, row) in enumerate(rows):
        parts += draw_row(TOP + number * (HIGH + 2 * GAP), heading, row, present, wide)
    parts += [draw_arrow(TOP + number * (HIGH + 2 * GAP)) for number in range(1, len(rows) - 1)]
    parts.append(f'<text x="16" y="{high - 16}" fill="#555">blue: crate data_process (no libtorch) · sand: crate humea · '
                 "drawn by scripts/architecture.py from the code</text>")
    return "\n".join([*parts, "</svg>", ""])


def draw_row(y: int, heading: str, row: List[str], present: Dict[str, str], wide: int) -> List[str]:
    """A band of rooms."""
    parts = [f'<rect x="8" y="{y}" width="{wide - 16}" height="{HIGH + GAP}" rx="8" fill="#f1f0ea"/>']
    for number, line in enumerate(textwrap.wrap(heading, 16)):
        parts.append(f'<text x="20" y="{y + 36 + 16 * number}" font-size="12.5" font-weight="bold">{escape(line)}</text>')
    for number, room in enumerate(row):
        parts += draw_room(LEFT + number * (BOX + GAP), y + GAP // 2, room, present[room])
    return parts


def draw_arrow(y: int) -> str:
    """The way down into the band that begins at `y`."""
    return f'<path d="M60 {y - 22} V{y + 10} m-6 -8 l6 8 l6 -8" fill="none" stroke="#333" stroke-width="2"/>'


def draw_room(x: int, y: int, room: str, words: str) -> List[str]:
    """One box: the room's name and what it is for."""
    crate, name = room.split("::")
    fill = "#dbe9f6" if crate == "data_process" else "#f6e7cf"
    parts = [
        f'<rect x="{x}" y="{y}" width="{BOX}" height="{HIGH}" rx="6" fill="{fill}" stroke="#888"/>',
        f'<text x="{x + 8}" y="{y + 18}" font-size="13" font-weight="bold">{escape(name)}</text>',
    ]
    for number, line in enumerate(textwrap.wrap(words, 28, max_lines=5, placeholder=" …")):
        parts.append(f'<text x="{x + 8}" y="{y + 34 + 13 * number}">{escape(line)}</text>')
    return parts


def drawn(picture: str) -> List[str]:
    """The names of the rooms in a picture."""
    return re.findall(r'font-size="13" font-weight="bold">(\w+)<', picture)


def main() -> int:
    """Draws, or with --check tells which rooms the drawing lacks."""
    present = rooms()
    complaints = misplaced(present) + circles(uses())
    if sys.argv[1:] == ["--check"]:
        names = drawn(DRAWING.read_text())
        complaints += [f"{room} is not in {DRAWING.name}: run python3 scripts/architecture.py"
                       for room in present if room.split("::")[1] not in names]
    elif not complaints:
        DRAWING.write_text(draw(present))
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
