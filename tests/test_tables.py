"""Columns of files: what each is read as, and what a file may have got wrong."""

import decimal

import numpy as np
import pandas as pd
import pytest

from fastbp.files.tables import Table, column_of_series


def written(tmp_path, content, name="table.csv"):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def column(tmp_path, *cells, **options):
    return Table(written(tmp_path, "\n".join(["x,y", *(f"{cell},1" for cell in cells)])), codes=True, **options)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2"], "number"),
        (["1.50", "-.5", "+1e-3", "1E5", "0", "0.5", "-0"], "number"),
        (["0010", "0020"], "text"),
        (["1", "02"], "text"),
        (["-01", "5"], "text"),
        (['"0010"', '"12"'], "text"),
        (["1", "x"], "text"),
        (["True", "false"], "boolean"),
        (["True", "1"], "text"),
        (["NA", "DE"], "text"),
        (["None", "null"], "text"),
        (["NA", "1"], "number"),
        (["1_000", "2"], "text"),
        (["\u0661", "\u0662"], "text"),
        (["2020-01-05", "2020-02-05"], "text"),
    ],
    ids=str,
)
def test_kinds_of_cells(tmp_path, cells, kind):
    table = column(tmp_path, *cells)
    assert table.kind("x") == kind
    if kind == "text":
        assert table.read("x", "text").tolist() == [cell.strip('"') for cell in cells]


def test_numbers_are_pythons(tmp_path):
    cells = ["0.1", "1e-310", "123456789.123456789", "17", "12345678901234567890123"]
    assert column(tmp_path, *cells).read("x", "number").tolist() == pytest.approx([float(cell) for cell in cells], rel=1e-15)


def test_whole_numbers_beyond_64_bits(tmp_path):
    table = Table(written(tmp_path, f"x\n{2**64 - 1}\n-1\n"))
    assert table.kind("x") == "number"
    assert table.read("x", "number").tolist() == [2.0**64, -1.0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([2**64 - 1, -1], np.array([2.0**64, -1.0])),
        ([-(2**63), None, 2**63 - 1], np.array([-(2**63), 0, 2**63 - 1])),
        ([2**63, 1.5], np.array([2.0**63, 1.5])),
    ],
    ids=str,
)
def test_numbers_that_are_objects(values, expected):
    """Some versions of pandas read whole numbers beyond 64 bits as such."""
    found = column_of_series(pd.Series(values, dtype=object))
    assert found.values.dtype == expected.dtype
    assert found.values.tolist() == expected.tolist()
    assert found.missing.tolist() == [value is None for value in values]


@pytest.mark.parametrize("empty", ["", '""', "  "])
@pytest.mark.parametrize("other", ["a", "0010", "True"])
def test_an_empty_cell_is_missing(tmp_path, empty, other):
    table = column(tmp_path, other, empty, other)
    with pytest.raises(ValueError, match=r"column 'x' of .* has 1 missing values, the first in row 2: fill or drop"):
        table.read("x", table.kind("x"))


@pytest.mark.parametrize("marker", ["", "NA", "nan", "null", "None", "<NA>"])
def test_missing_numbers(tmp_path, marker):
    table = column(tmp_path, "1.5", "2", marker)
    assert table.kind("x") == "number"
    with pytest.raises(ValueError, match=r"column 'x' of .* has 1 missing values, the first in row 3"):
        table.read("x", "number")
    assert table.read("y", "number").tolist() == [1, 1, 1], "what is not read need not be right"


def test_a_value_of_another_kind_is_named_with_its_row(tmp_path):
    with pytest.raises(ValueError, match=r"column 'x' of .*table\.csv must hold numbers, .* but row 3 holds 'old'"):
        column(tmp_path, "1", "2", "old").read("x", "number")
    with pytest.raises(ValueError, match=r"column 'x' of .* must hold only true and false, .* but row 2 holds '2'"):
        column(tmp_path, "1", "2").read("x", "boolean")
    with pytest.raises(ValueError, match=r"infinite values, the first in row 2"):
        column(tmp_path, "1", "-inf").read("x", "number")
    with pytest.raises(ValueError, match=r"has no column 'z'"):
        column(tmp_path, "1").read("z", "number")


def test_codes_are_numbers_where_training_had_numbers(tmp_path):
    path = written(tmp_path, "x\n007\n8\n")
    assert Table(path).read("x", "number").tolist() == [7, 8]


@pytest.mark.parametrize("cells", [["True", "FALSE"], ["1", "0"], ["1.0", "0.0"]], ids=str)
def test_booleans_are_written_in_several_ways(tmp_path, cells):
    assert column(tmp_path, *cells).read("x", "boolean").tolist() == [1, 0]


def test_whole_numbers_with_and_without_a_decimal_are_one_category(tmp_path):
    table = column(tmp_path, "1.0", "2", "3.50", "4.0", "-0.0", text={"x"})
    assert table.read("x", "text").tolist() == ["1.0", "2", "3.50", "4.0", "-0.0"]
    assert table.read("x", "text", {"1", "2.0", "3.5", "4", "4.0"}).tolist() == ["1", "2.0", "3.50", "4.0", "-0.0"]


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_names(tmp_path, name):
    path = tmp_path / f"table.{name}"
    frame = pd.DataFrame({" size ": [1.0], "two words": [2.0]})
    frame.to_csv(path, index=False, encoding="utf-8-sig") if name == "csv" else frame.to_parquet(path)
    table = Table(path)
    assert list(table.columns) == ["size", "two words"]
    assert "size" in table
    assert str(table) == "'size', 'two words'"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x,y\n", "has no rows"),
        ("x,y", "has no rows"),
        ("\n", "cannot read"),
        ("x,y,x\n1,2,3\n", "2 columns are called 'x': rename or drop all but one"),
        ("x,y, x\n1,2,3\n", "2 columns are called 'x'"),
        ("x,y\n7,1,2\n9,3,4\n", "rows have more cells than the first line has names"),
        ("x,y\n1,2\n3,4,5\n", "cannot read .* line 3"),
        (b"x\n\xe9\n", "cannot read .*utf-8"),
    ],
    ids=str,
)
def test_files_that_would_be_misread(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        Table(written(tmp_path, content))


@pytest.mark.parametrize("kind", ["parquet", "npz"])
def test_files_without_rows(tmp_path, kind):
    path = tmp_path / f"table.{kind}"
    pd.DataFrame({"x": np.zeros(0)}).to_parquet(path) if kind == "parquet" else np.savez(path, x=np.zeros(0))
    with pytest.raises(ValueError, match=rf"table\.{kind} has no rows"):
        Table(path)


def test_types_of_parquet(tmp_path):
    columns = {
        "code": ["0010", "1.50"],
        "string": pd.array(["NA", "None"], dtype="string"),
        "category": pd.Categorical(["b", "a"]),
        "integer": pd.array([1, 2], dtype="Int64"),
        "small": np.array([1, 2], np.int8),
        "boolean": pd.array([True, False], dtype="boolean"),
        "float": np.array([0.1, 3.0], np.float32),
        "decimal": [decimal.Decimal("1.5"), decimal.Decimal(2)],
    }
    pd.DataFrame(columns).to_parquet(tmp_path / "table.parquet")
    table = Table(tmp_path / "table.parquet")
    kinds = {name: table.kind(name) for name in table.columns}
    assert [name for name in kinds if kinds[name] == "text"] == ["code", "string", "category"]
    assert [name for name in kinds if kinds[name] == "boolean"] == ["boolean"]
    assert table.read("code", "text").tolist() == ["0010", "1.50"]
    assert table.read("code", "number").tolist() == [10, 1.5]
    assert table.read("string", "text").tolist() == ["NA", "None"]
    assert table.read("category", "text").tolist() == ["b", "a"]
    assert table.read("integer", "text").tolist() == ["1", "2"]
    assert table.read("float", "text").tolist() == ["0.1", "3.0"]
    assert table.read("float", "text", {"3"}).tolist() == ["0.1", "3"]
    assert table.read("boolean", "text").tolist() == ["True", "False"]
    assert table.read("decimal", "number").tolist() == [1.5, 2]


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean", "string", "category", "object"])
def test_missing_values_of_parquet(tmp_path, dtype):
    values = {"string": ["1", None], "category": ["1", None], "object": ["1", None], "boolean": [True, None]}.get(dtype, [1, None])
    pd.DataFrame({"x": pd.array(values, dtype=dtype), "y": [1, 2]}).to_parquet(tmp_path / "table.parquet")
    table = Table(tmp_path / "table.parquet")
    for kind in ("number", "boolean", "text"):
        with pytest.raises(ValueError, match=r"column 'x' of .* has 1 missing values, the first in row 2"):
            table.read("x", kind)
    assert table.read("y", "number").tolist() == [1, 2]


@pytest.mark.parametrize("values", [pd.to_datetime(["2020-01-01"]), [b"a"], [[1]], [pd.Timestamp("2020-01-01").date()]], ids=str)
def test_what_is_neither_numbers_nor_text(tmp_path, values):
    pd.DataFrame({"x": values, "y": [1]}).to_parquet(tmp_path / "table.parquet")
    table = Table(tmp_path / "table.parquet")
    with pytest.raises(ValueError, match=r"column 'x' of .* has dtype .*: make it numbers or strings"):
        table.read("x", "text")
    assert table.read("y", "number").tolist() == [1]


def test_a_matrix_and_a_column_of_one_name(tmp_path):
    np.savez(tmp_path / "table.npz", X=np.ones((2, 2)), x1=np.zeros(2))
    with pytest.raises(ValueError, match="2 columns are called 'x1'"):
        Table(tmp_path / "table.npz")
    assert Table(tmp_path / "table.npz", matrix_names=["x1", "b"]).read("x1", "number").tolist() == [1, 1]
