"""hvae.description: the shape and the kind of data, and how they are written down."""

import ast
import json
import sys
from pathlib import Path

import pytest

from hvae import description
from hvae.description import DataDescription, Kind
from hvae.errors import Refused

SHAPES = [(28, 28), (765,), (3, 32, 32), (1,)]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_description_survives_json(shape, kind):
    written = DataDescription(shape, kind)
    document = json.loads(json.dumps(written.to_json()))
    assert document == {"shape": list(shape), "kind": kind.value}
    again = DataDescription.from_json(document)
    assert again == written and hash(again) == hash(written)
    assert isinstance(again.shape, tuple) and again.kind is kind


@pytest.mark.parametrize(
    "shape, size", [((28, 28), 784), ((765,), 765), ((3, 32, 32), 3072), ((1,), 1)]
)
def test_size(shape, size):
    assert DataDescription(shape, Kind.REAL).size == size


@pytest.mark.parametrize(
    "more",
    [
        {"covariates": ("batch=1", "batch=2")},
        {"maxima": (0, 255)},
        {"features": ("a", "b")},
        {"covariates": ("sex=f",), "maxima": (1, 2), "features": ("", "=")},
    ],
    ids="+".join,
)
def test_what_a_description_may_say_more_survives_json(more):
    written = DataDescription((2,), Kind.COUNTS, **more)
    document = json.loads(json.dumps(written.to_json()))
    assert document == {
        "shape": [2], "kind": "counts", **{name: list(values) for name, values in more.items()}
    }  # fmt: skip
    again = DataDescription.from_json(document)
    assert again == written and hash(again) == hash(written)
    assert again != DataDescription((2,), Kind.COUNTS)
    assert again.size == 2 and again.width == 2 + len(more.get("covariates", ()))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"maxima": (1,)}, "data: 1 maxima for 2 numbers; allowed: one for each"),
        ({"features": ("a",) * 3}, "data: 3 features for 2 numbers; allowed: one for each"),
        ({"maxima": (3, -1)}, "data: maxima down to -1; allowed: 0 or more"),
    ],
)
def test_maxima_and_features_are_one_for_each_number(more, message):
    with pytest.raises(Refused) as error:
        DataDescription((2,), Kind.COUNTS, **more)
    assert str(error.value) == message


def test_what_tells_two_descriptions_apart():
    images = DataDescription((28, 28), Kind.BINARY)
    assert images != DataDescription((784,), Kind.BINARY)
    assert images != DataDescription((28, 28), Kind.UNIT)


def test_the_names_of_the_kinds():
    """They stand in files: a change here is a new schema."""
    assert [kind.value for kind in Kind] == ["binary", "unit interval", "real", "counts"]


@pytest.mark.parametrize("shape", [(), (0,), (28, 0), (28, -1), (28.0, 28), (True,), ("28",)])
def test_a_wrong_shape_is_refused(shape):
    with pytest.raises(Refused, match="sizes of at least 1") as error:
        DataDescription(shape, Kind.BINARY)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "binary",
        {},
        {"shape": [28, 28]},
        {"kind": "binary"},
        {"shape": [28, 28], "kind": "binary", "labels": 10},
        {"shape": 784, "kind": "binary"},
        {"shape": "28", "kind": "binary"},
        {"shape": [28, 28], "kind": "grey"},
        {"shape": [28, 28], "kind": ["binary"]},
        {"shape": [28, 28], "kind": None},
        {"shape": [], "kind": "binary"},
        {"shape": [28, None], "kind": "binary"},
        {"shape": [[28]], "kind": "binary"},
        {"text": "x" * 10_000},
        {"shape": [2], "kind": "counts", "maxima": None},
        {"shape": [2], "kind": "counts", "maxima": [1, 2.0]},
        {"shape": [2], "kind": "counts", "maxima": [1, True]},
        {"shape": [2], "kind": "counts", "maxima": [1]},
        {"shape": [2], "kind": "counts", "features": "ab"},
        {"shape": [2], "kind": "counts", "covariates": [1]},
    ],
    ids=lambda document: str(document)[:40],
)
def test_another_document_is_refused(document):
    with pytest.raises(Refused, match="^data: .*allowed: ") as error:
        DataDescription.from_json(document)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_it_is_a_leaf():
    """Data sets and models both import it, so it imports nothing of either."""
    tree = ast.parse(Path(description.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {
        a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names
    }
    outside = {name for name in imported if name.split(".")[0] not in sys.stdlib_module_names}
    assert outside == {"hvae.errors"}
