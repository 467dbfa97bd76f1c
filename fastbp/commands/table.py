"""How commands print what they found."""

from collections.abc import Iterable, Sequence
from typing import Any


def print_table(rows: Iterable[tuple[str, Any]]) -> None:
    """Names, and values beside them."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")


def print_columns(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Rows below a line of names, each column as wide as it must be."""
    table = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
