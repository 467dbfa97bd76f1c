"""How commands print what they found."""

from collections.abc import Iterable
from typing import Any


def print_table(rows: Iterable[tuple[str, Any]]) -> None:
    """Names, and values beside them."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
