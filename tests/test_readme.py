"""The README's Python blocks run, its links lead somewhere, and its commands are the command line's."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)


def test_there_are_blocks():
    assert len(BLOCKS) == TEXT.count("```python") >= 3


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block_runs(number, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[number], f"README.md, block {number}", "exec"), {"__name__": "__main__"})
    output = capsys.readouterr().out
    if "digits.fastbp" in BLOCKS[number]:
        assert float(re.search(r"accuracy (\d\.\d+)", output)[1]) >= 0.97
        assert (tmp_path / "digits.fastbp").exists()
    if "cross_val_score" in BLOCKS[number]:
        assert float(output) > 0.9


def test_links_lead_to_files():
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert links
    for link in links:
        assert link.startswith("https://") or (ROOT / link).is_file(), link


def test_every_example_is_listed():
    for path in (ROOT / "examples").glob("plot_*.py"):
        assert f"(examples/{path.name})" in TEXT


def test_commands_are_understood():
    from fastbp.cli import _parser

    commands = re.findall(r"^(?:.* && )?fastbp (.+)$", TEXT, flags=re.MULTILINE)
    commands = [command for command in commands if "trains" not in command]
    assert len(commands) >= 5
    for command in commands:
        _parser().parse_args(command.split())


def test_lists_are_those_of_the_registries():
    from fastbp import activations, losses, optimizers

    row = {name: line.split("|")[2] for line in TEXT.splitlines() if line.startswith("| ") for name in [line.split("|")[1].strip()]}
    for name in activations.ACTIVATIONS.names:
        assert re.search(rf"\b{name}\b", row["Activations"]), name
    for cls in optimizers.OPTIMIZERS.classes:
        assert re.search(rf"\b{cls.__name__}\b", row["Update rules"], flags=re.IGNORECASE), cls
    for name in losses.LOSSES.names:
        shown = "squared error" if name == "squared" else name.replace("_entropy", "-entropy").replace("binary_", "binary ")
        assert re.search(rf"\b{shown}\b", row["Losses"]), name
