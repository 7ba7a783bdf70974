"""Tables as text: Markdown for people, tab-separated values for programs.

A *row* is a mapping from keys to values; None is "no value".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], align: str = "lr") -> str:
    """Return a table without a newline at its end.

    `align` has a letter for each column, `l` left or `r` right; the last one is for all the rest.
    """
    rules = [{"l": "---", "r": "---:"}[side] for side in align.ljust(len(head), align[-1])]
    return "\n".join(
        ["| " + " | ".join(head) + " |", "|" + "|".join(rules[: len(head)]) + "|"]
        + ["| " + " | ".join(cells) + " |" for cells in rows]
    )


def number(value: float | None, form: str) -> str:
    """Return a number, or a dash where there is none."""
    return "–" if value is None else format(value, form)


def tsv(
    rows: Iterable[Row],
    keys: Sequence[str] | None = None,
    write: Callable[[Any], str] | None = None,
) -> str:
    """Return rows as tab-separated text with a header.

    Args:
        rows: may lack keys.
        keys: the columns, by default the keys of all rows in order of appearance.
        write: how a cell is written: `plain` by default, `short`, or `exact`, which `parse` reads.
    """
    rows = list(rows)
    keys = list(dict.fromkeys(key for row in rows for key in row)) if keys is None else keys
    cells = ([(write or plain)(row.get(key)) for key in keys] for row in rows)
    return "".join("\t".join(line) + "\n" for line in [keys, *cells])


def transposed(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return columns of equal length as rows."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def plain(value: Any) -> str:
    """Return a cell as Python writes the value."""
    return "" if value is None else str(value)


def short(value: Any) -> str:
    """Return a cell with six digits of a float."""
    return f"{value:.6g}" if isinstance(value, float) else plain(value)


def exact(value: Any) -> str:
    """Return a cell from which `parse` gets the value back: text that could be other is in quotes.

    `value` is None, a bool, a number or text.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return plain(value)
    bare = value.isprintable() and not value.startswith('"') and _read(value) == value
    return value if bare else json.dumps(value)


def parse(text: str) -> list[dict[str, Any]]:
    """Return the rows of what `tsv` wrote; cells of `plain` and `short` are read as numbers.

    Raises:
        ValueError: a line has too few or too many cells; says which.
    """
    header, *lines = text.split("\n")[:-1] or [""]
    keys = header.split("\t")
    rows = []
    for place, line in enumerate(lines, start=2):
        cells = line.split("\t")
        if len(cells) != len(keys):
            raise ValueError(f"line {place} has {len(cells)} cells, the header {len(keys)}")
        rows.append(dict(zip(keys, map(_read, cells), strict=True)))
    return rows


def _read(cell: str) -> Any:
    """Return the value of a cell."""
    if cell.startswith('"'):
        return json.loads(cell)
    if cell in ("", "true", "false"):
        return {"": None, "true": True, "false": False}[cell]
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell
