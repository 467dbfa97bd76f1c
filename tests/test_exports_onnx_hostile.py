"""Files that are no ONNX graphs, or are made to do harm: one clear error, and nothing is read but the file that is named."""

import random
import time
import tracemalloc

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import CONSTANTS, FIRST, LAST, ROWS, W1, WRITTEN, between, content, error, model, outputs, read

import fastbp
from fastbp import ModelFormatError
from fastbp.exports.onnx import opened


def layers():
    """A graph that is a network."""
    return model([("Gemm", "X W1 b1", "z"), ("Tanh", "z", "a"), ("Gemm", "a W2 b2", "Y")], CONSTANTS, ("N", 4))


def is_refused(data):
    """Whether a file is refused; any other error than the one there is for this fails."""
    try:
        fastbp.from_onnx(data)
    except ModelFormatError:
        return True
    return False


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of several kinds, as bytes."""
    path = tmp_path_factory.mktemp("files") / "net.onnx"
    found = [content(between(nodes, constants)) for nodes, constants, _ in WRITTEN.values()]
    found += [content(model(nodes + LAST, CONSTANTS | constants, ("N", 4))) for nodes, constants in FIRST.values()]
    for dtype in ("float32", "float64"):
        fastbp.Network([4, 4, 3], "gelu", "cross_entropy", dtype=dtype, input_scale=0.5, rng=0).to_onnx(path)
        found.append(path.read_bytes())
    return found


def test_truncated_files(files):
    whole = files[0]
    assert not is_refused(whole)
    assert sum(is_refused(whole[:length]) for length in range(len(whole))) >= len(whole) - 3  # what is last may be left out


def test_damaged_files(files):
    """Bytes changed, taken out and put in: of 2000 files, none is another error."""
    draw = random.Random(0)
    refused = 0
    for _ in range(2000):
        data = bytearray(draw.choice(files))
        place = draw.randrange(len(data))
        kind = draw.randrange(4)
        if kind < 2:
            data[place] = draw.randrange(256) if kind else data[place] ^ 1 << draw.randrange(8)
        elif kind == 2:
            del data[place : place + draw.randrange(1, 20)]
        else:
            data[place:place] = data[place : place + draw.randrange(1, 60)]
        refused += is_refused(bytes(data))
    assert 500 < refused < 1999  # both ways out are taken


def mutant(draw, data):
    """A graph with another operator, attribute, order of inputs or shape, or with a node less."""
    graph = (found := onnx.load_model_from_string(data)).graph
    node, tensor = draw.choice(graph.node), draw.choice(graph.initializer)
    kind = draw.randrange(6)
    if kind == 0:
        node.op_type = draw.choice(
            ["Add", "Sub", "Mul", "Div", "Max", "Min", "Neg", "Tanh", *(each.op_type for each in graph.node)]
        )
    elif kind == 1 and node.attribute:
        attribute = draw.choice(node.attribute)
        attribute.f, attribute.i = draw.choice([0.0, -1.0, 0.5, 2.0]), draw.choice([-2, -1, 0, 1, 2])
    elif kind == 2:
        names = draw.sample(list(node.input), len(node.input))
        del node.input[:]
        node.input.extend(names)
    elif kind == 3 and node.input:
        names = [name for each in graph.node for name in each.output] + [each.name for each in graph.initializer]
        node.input[draw.randrange(len(node.input))] = draw.choice(names)
    elif kind == 4:
        tensor.dims[:] = draw.choice([[*tensor.dims][::-1], [1, *tensor.dims], [*tensor.dims, 1]])
    elif node.input:
        graph.node.remove(node)
        for each in graph.node:
            each.input[:] = [node.input[0] if name == node.output[0] else name for name in each.input]
    return found


def test_what_is_read_of_changed_graphs_is_what_they_compute(files):
    draw = random.Random(0)
    read_as_networks = 0
    for _ in range(600):
        graph = mutant(draw, draw.choice(files))
        try:
            net = read(graph)
        except ModelFormatError:
            continue
        rows = ROWS[:, : net.sizes[0]].astype(net.dtype)
        try:
            (found,) = outputs(graph, rows).values()
        except Exception:  # of the runtime: a graph that is none
            continue
        read_as_networks += 1
        assert error(found, net, rows) < 1e-4, graph
    assert read_as_networks > 100


def test_shapes_that_are_not_there_take_no_memory():
    huge = helper.make_tensor("V", TensorProto.FLOAT, [4, 5], np.ones(20, np.float32))
    huge.dims[:] = [1 << 30, 1 << 31]
    graph = content(model([("Gemm", "X V b1", "z"), *LAST], CONSTANTS | {"V": huge}, ("N", 4)))
    tracemalloc.start()
    with pytest.raises(ModelFormatError, match=r"'V' has 20 numbers, and a shape of \[1073741824, 2147483648\]"):
        fastbp.from_onnx(graph)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6
    for dims in ([0, 5], [-4, -5], [4, 5, 0], []):
        huge.dims[:] = dims
        assert is_refused(content(model([("Gemm", "X V b1", "z"), *LAST], CONSTANTS | {"V": huge}, ("N", 4))))


@pytest.mark.parametrize("elsewhere", ["weights", "../weights", "/proc/self/environ"])
def test_no_other_file_is_read(tmp_path, elsewhere):
    """Where a file says that weights are in another, in its folder or outside: that is refused, whether there is one or not."""
    tensor = numpy_helper.from_array(W1, "V")
    onnx.external_data_helper.set_external_data(tensor, elsewhere)
    tensor.ClearField("raw_data")
    path = tmp_path / "folder" / "net.onnx"
    path.parent.mkdir()
    path.write_bytes(content(model([("Gemm", "X V b1", "z"), *LAST], CONSTANTS | {"V": tensor}, ("N", 4))))

    def refusal():
        with pytest.raises(ModelFormatError, match="keeps the constant 'V' in another file, and none but the one that is named"):
            fastbp.from_onnx(path)
        with pytest.raises(ModelFormatError) as caught:
            fastbp.from_onnx(path.read_bytes())
        return str(caught.value)

    without = refusal()
    if elsewhere == "weights":  # one that does read it notices
        with pytest.raises(Exception, match="weights"):
            onnx.load(path)
    if not elsewhere.startswith("/"):
        (path.parent / elsewhere).write_bytes(W1.tobytes())
    assert refusal() == without
    if elsewhere == "weights":
        (again,) = [each for each in onnx.load(path).graph.initializer if each.name == "V"]
        assert numpy_helper.to_array(again).tobytes() == W1.tobytes()


def damaged(change):
    """A graph that is a network, but for what is done to it."""
    graph = between([("LeakyRelu", "z", "a", {"alpha": 0.5})])
    change(graph.graph)
    return content(graph)


DAMAGE = {
    "a segment": lambda g: setattr(g.initializer[0].segment, "end", 3),
    "an attribute of a function": lambda g: setattr(g.node[2].attribute[0], "ref_attr_name", "q"),
    "an attribute twice": lambda g: g.node[2].attribute.append(helper.make_attribute("alpha", 0.9)),
    "a constant twice": lambda g: g.initializer.append(numpy_helper.from_array(np.ones((4, 5), np.float32), g.initializer[0].name)),
    "softmax of nothing": lambda g: g.node.append(helper.make_node("Softmax", [], ["p"])),
    "a scaler of nothing": lambda g: g.node.append(helper.make_node("Scaler", [], ["p"], domain="ai.onnx.ml")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_onnx_does_not_allow(damage):
    def change(graph):
        DAMAGE[damage](graph)
        graph.output[0].name = graph.node[-1].output[0]

    assert not is_refused(damaged(lambda graph: None))
    assert is_refused(damaged(change))


def test_the_time_of_a_long_way_is_in_proportion_to_it():
    """Of nodes that change nothing, each is looked at a few times, not once for each that is before it."""

    def seconds(count):
        nodes = [("Identity", f"i{i}" if i else "z", f"i{i + 1}") for i in range(count)]
        data = content(between([*nodes, ("Tanh", f"i{count}", "a")]))
        started = time.process_time()
        assert not is_refused(data)
        return time.process_time() - started

    assert seconds(6000) < 10 * max(seconds(1500), 0.02)


def test_names_that_are_no_text():
    data = content(between([("Tanh", "z", "a")]))
    assert not is_refused(data.replace(b"\x02W1", b"\x02\xff1"))
    assert is_refused(data.replace(b"Tanh", b"T\xffnh"))
    assert is_refused(data.replace(b"\x01Y", b"\x01\xff", 1))


def test_functions_and_old_and_large_files(monkeypatch, tmp_path):
    graph = layers()
    data = content(graph)
    own = helper.make_function("", "Tanh", ["z"], ["a"], [helper.make_node("Neg", ["z"], ["a"])], graph.opset_import)
    graph.functions.append(own)
    with pytest.raises(ModelFormatError, match="defines functions of its own: inline them first"):
        read(graph)
    with pytest.raises(ModelFormatError, match="its opset is 6, and must be 7 or later"):
        read(model([("Gemm", "X W1 b1", "Y")], CONSTANTS, opset=6))
    for empty in (b"", b"\x08\x08", b"no file of ONNX"):
        assert is_refused(empty)
    (tmp_path / "net.onnx").write_bytes(data)
    monkeypatch.setattr(opened, "AT_ONCE", 100)
    assert fastbp.from_onnx(tmp_path / "net.onnx").sizes == (4, 5, 2)
    monkeypatch.setattr(opened, "LARGEST", len(data) // 2)
    with pytest.raises(ModelFormatError, match="is no ONNX file, which ends at 2 GiB"):
        fastbp.from_onnx(tmp_path / "net.onnx")


def test_as_many_layers_as_a_network_has():
    def deep(count):
        nodes = [("Gemm", f"x{i} W b", f"x{i + 1}") for i in range(1, count)]
        constants = {"W": np.eye(4, dtype=np.float32), "b": np.ones(4, np.float32)}
        return model([("Gemm", "X W b", "x1"), *nodes], constants, ("N", 4), outputs=(f"x{count}",))

    assert len(read(deep(1000)).weights) == 1000
    with pytest.raises(ModelFormatError, match="has more than 1000 layers"):
        read(deep(1001))
