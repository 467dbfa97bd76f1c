"""What users call: every option is in the signature and in the documentation, with the same default, and pages agree."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import fastbp
from fastbp import MLPClassifier, MLPRegressor, network
from fastbp.textbook import network2


def called_by_users():
    """(name, function, the text that documents it) of what a program calls: functions, methods, and classes that it makes."""
    modules = [fastbp.textbook, network2, fastbp.plotting, fastbp.callbacks, fastbp.estimators, fastbp.dask]
    for owner in (*(getattr(fastbp, name) for name in fastbp.__all__[1:]), *(vars(m)[n] for m in modules for n in vars(m))):
        if not getattr(owner, "__module__", "").startswith("fastbp") or owner.__name__.startswith("_"):
            continue
        if inspect.isfunction(owner):
            yield owner.__name__, owner, owner.__doc__
        elif inspect.isclass(owner):
            if inspect.isfunction(owner.__init__):
                yield owner.__name__, owner.__init__, owner.__doc__
            if hasattr(owner, "registry"):
                continue  # what kernels are compiled from
            for name, method in inspect.getmembers(owner, inspect.isfunction):
                if method.__module__.startswith("fastbp") and (name == "__call__" or not name.startswith("_")):
                    yield f"{owner.__module__}.{owner.__name__}.{name}", method, method.__doc__


CALLED = {name: (function, text) for name, function, text in called_by_users()}


@pytest.mark.parametrize("name", CALLED)
def test_every_option_is_in_the_signature_and_in_the_documentation(name):
    function, text = CALLED[name]
    parameters = list(inspect.signature(function).parameters.values())
    if "." in name or name[0].isupper():
        parameters = parameters[1:]  # self, by whatever name
    for parameter in parameters:
        assert parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        assert re.search(rf"\b{parameter.name}\b", text), parameter.name


def test_what_is_called_by_users_is_looked_at():
    assert {"load", "Network", "fastbp.network.Network.fit", "fastbp.estimators.classifier.MLPClassifier.fit"} <= CALLED.keys()
    assert {"save_loss_curve", "Adam", "MLPRegressor"} <= CALLED.keys()
    assert {"fastbp.textbook.network.Network.SGD", "fastbp.textbook.network2.Network.SGD"} <= CALLED.keys()
    assert "patience" in inspect.signature(fastbp.Network.fit).parameters


def test_tools_that_read_the_source_see_the_options_of_a_fit():
    """What a class takes as it is, they follow by name: no call is in between that they cannot see through."""
    (cls,) = [node for node in ast.parse(Path(network.__file__).read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
    taken = {node.targets[0].id: ast.unparse(node.value) for node in cls.body if isinstance(node, ast.Assign)}
    assert {name: value for name, value in taken.items() if not name.startswith("_")} == {
        **{"fit": "training.fit", "check_gradients": "gradcheck.check_gradients", "trace": "trace.trace"},
        **{name: f"derivatives.{name}" for name in ("jacobian", "vjp", "jvp")},
        **{name: f"evaluating.{name}" for name in ("predict", "score", "loss", "value_and_grad")},
    }


# --- pages -------------------------------------------------------------------------------------------------------------------


def section(text, title):
    """{name: (what stands on its line, the text below)} of a section in numpydoc's form."""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", inspect.cleandoc(text), re.DOTALL | re.MULTILINE)
    if not found:
        return {}
    heads = re.split(r"^(\S.*)$", found[1].strip(), flags=re.MULTILINE)[1:]
    entries = zip(heads[::2], heads[1::2], strict=True)
    return {name: (head, text.strip()) for head, text in entries for name in head.partition(" : ")[0].split(", ")}


def documented_default(head, name):
    """The default that the line of a parameter tells, or none of them."""
    names, _, rest = head.partition(" : ")
    if ", default " not in rest:
        return inspect.Parameter.empty
    values = rest.rpartition(", default ")[2].split(" and ")
    return ast.literal_eval(values[names.split(", ").index(name) if len(values) > 1 else 0])


WITH_PARAMETERS = [name for name, (_, text) in CALLED.items() if section(text, "Parameters")]


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_the_documentation_tells_the_parameters_and_defaults_of_the_signature(name):
    function, text = CALLED[name]
    parameters = inspect.signature(function).parameters
    of_self = list(parameters)[:1] if "." in name or name[0].isupper() else []
    assert section(text, "Parameters").keys() == parameters.keys() - of_self
    for parameter, (head, _) in section(text, "Parameters").items():
        default = parameters[parameter].default
        told = documented_default(head, parameter)
        if told is inspect.Parameter.empty:
            assert default in (inspect.Parameter.empty, None, ()) or head.endswith("optional"), head
            assert head.endswith("optional") == (default is not inspect.Parameter.empty) or default == (), head
        else:
            assert told == default, head


def test_defaults_are_looked_at():
    head = section(CALLED["fastbp.network.Network.fit"][1], "Parameters")["n_iter_no_change"][0]
    assert documented_default(head, "n_iter_no_change") == 10
    assert documented_default("beta_1, beta_2 : float, default 0.9 and 0.999", "beta_2") == 0.999
    assert len(WITH_PARAMETERS) > 40


# what the parameters of both estimators mean differently; the other entries are the same word by word
OWN = {
    "Parameters": {
        "validation_fraction": "stratified by class",
        "scoring": "accuracy",
    },
    "Attributes": {"out_activation_": "softmax"},
}


@pytest.mark.parametrize("title", OWN)
def test_the_pages_of_both_estimators_say_the_same(title):
    """Each page is complete, for editors that read the source; the text is one."""
    ours, others = section(MLPClassifier.__doc__, title), section(MLPRegressor.__doc__, title)
    shared = ours.keys() & others.keys()
    assert {name for name in shared if ours[name] != others[name]} == OWN[title].keys()
    assert {name for name in shared if ours[name][0] != others[name][0]} == set()
    for name, word in OWN[title].items():
        assert word in ours[name][1]
        assert word not in others[name][1]
    assert len(shared) > (30 if title == "Parameters" else 12)


def test_the_pages_of_both_estimators_are_of_all_parameters():
    for cls in (MLPClassifier, MLPRegressor):
        assert list(section(cls.__doc__, "Parameters")) == list(inspect.signature(cls).parameters)
