"""Write classes.md: every activation, loss, update rule and minimiser, from its docstring. Run it when one was added or changed."""

import inspect
from pathlib import Path

from fastbp import activations, losses, minimizers, optimizers

PAGE = Path(__file__).with_suffix(".md")
HEAD = """# Activations, losses, update rules and minimisers

Written by `docs/classes.py` from the docstrings of the classes. Each is given by its name or as an instance, with the
hyper-parameters in the second column; how to write your own is said in [CONTRIBUTING.md](../CONTRIBUTING.md).

```python
import fastbp

net = fastbp.Network([4, 8, 8, 3], hidden=["relu", fastbp.ELU(alpha=0.5)], loss="cross_entropy")
print(fastbp.activations.ACTIVATIONS.names, fastbp.losses.LOSSES.names, fastbp.optimizers.OPTIMIZERS.names)
```
"""
FACTS = {
    activations.ACTIVATIONS: ("Activations", "layers are drawn by", lambda cls: f"`{cls.init}`"),
    losses.LOSSES: ("Losses", "targets; output", lambda cls: f"{cls.task.replace('_', ' ')}; {cls.link or 'any'}"),
    optimizers.OPTIMIZERS: ("Update rules", "numbers kept a parameter", lambda cls: str(cls.slots)),
    minimizers.MINIMIZERS: ("Minimisers", "losses", lambda cls: "squared error" if cls.needs_squares else "any"),
}


def formula(cls):
    """What the docstring says before the hyper-parameters, in a line."""
    return " ".join(inspect.getdoc(cls).partition("\nParameters\n")[0].split()).replace("|", "\\|").replace("*", "\\*")


def call(cls):
    """The class and its hyper-parameters."""
    given = inspect.signature(cls).parameters.values()
    return f"{cls.__name__}({', '.join(f'{each.name}={each.default!r}' for each in given)})"


def page():
    """The text of the page."""
    text = HEAD
    for registry, (title, fact, of) in FACTS.items():
        text += f"\n## {title}\n\n| name | class | formula | {fact} |\n|---|---|---|---|\n"
        for cls in registry.classes:
            text += f"| `{cls.name}` | `{call(cls)}` | {formula(cls)} | {of(cls)} |\n"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
