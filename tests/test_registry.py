"""hvae.registry: classes of ours and of other installed packages, by name."""

import sys
import textwrap

import pytest

from hvae.errors import EnvironmentProblem, Refused
from hvae.registry import Registry

GROUP = "hvae.tests_of_the_registry"


class Base:
    pass


class Own(Base):
    pass


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package of entry points, name = object, with the source of a module."""
    monkeypatch.syspath_prepend(tmp_path)
    modules = []

    def install(module, source="", **points):
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        metadata = tmp_path / f"{module}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines = [f"{name} = {module}:{thing}" for name, thing in points.items()]
        (metadata / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
        modules.append(module)

    yield install
    for module in modules:
        sys.modules.pop(module, None)


def registry(**own):
    return Registry(GROUP, Base, own)


CLASSES = f"""
    from {__name__} import Base
    class A(Base): pass
    class B(Base): pass
"""


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """The modules of these packages import this one by its name."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])


def test_it_is_a_mapping_of_our_own_classes_in_their_order():
    ours = registry(own=Own, base=Base)
    assert dict(ours) == {"own": Own, "base": Base} and list(ours) == ["own", "base"]
    assert len(ours) == 2 and "own" in ours and "other" not in ours and 3 not in ours


def test_an_unknown_name_is_a_key_error():
    with pytest.raises(KeyError, match="^'other'$"):
        registry(own=Own)["other"]
    assert registry(own=Own).get("other") is None


def test_classes_of_another_package_stand_behind_ours_by_name(install):
    install("registry_b", CLASSES, b="B", a="A")
    install("registry_c", CLASSES, c="A")
    both = registry(own=Own)
    assert list(both) == ["own", "a", "b", "c"] and len(both) == 4
    assert {"a", "b", "c", "own"} == set(both) and "b" in both
    assert (both["a"].__name__, both["b"].__name__) == ("A", "B")
    assert both["b"] is sys.modules["registry_b"].B is both["b"]


def test_our_own_names_win(install):
    install("registry_thief", CLASSES, own="A")
    ours = registry(own=Own)
    assert ours["own"] is Own and list(ours) == ["own"] and len(ours) == 1
    assert "registry_thief" not in sys.modules


def test_another_package_is_imported_when_its_class_is_asked_for(install):
    install("registry_lazy", CLASSES, a="A")
    lazy = registry(own=Own)
    assert list(lazy) == ["own", "a"] and "a" in lazy and lazy["own"] is Own
    assert "registry_lazy" not in sys.modules
    assert lazy["a"].__name__ == "A" and "registry_lazy" in sys.modules


def test_the_order_is_the_same_whichever_was_asked_for_first(install):
    """The raw parameters of a latent space stand in the order of its registry of kinds."""
    install("registry_order", CLASSES, a="A", b="B")
    one = registry(own=Own)
    before = list(one)
    one["b"], one["a"]
    assert list(one) == before == ["own", "a", "b"]
    assert list(dict(one)) == before


def test_other_groups_are_not_looked_at(install):
    install("registry_group", CLASSES, a="A")
    assert list(Registry("hvae.another", Base, {"own": Own})) == ["own"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('broken\\n in two lines')", "broken in two lines"),
        ("raise ValueError", "ValueError"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("raise RuntimeError('x' * 1000)", "x" * 200),
        ("", "no attribute 'A'"),
    ],
    ids=["raises", "says nothing", "imports", "long", "absent"],
)
def test_a_package_that_cannot_be_imported_is_named_in_one_line(install, source, reason):
    install("registry_broken", source, a="A")
    with pytest.raises(EnvironmentProblem) as error:
        registry(own=Own)["a"]
    message = str(error.value)
    assert message.startswith(f"{GROUP}: a = registry_broken:A cannot be imported: ")
    assert message.endswith(reason) and "\n" not in message and len(message) < 300
    assert "a" in registry(own=Own)  # it is offered all the same


@pytest.mark.parametrize("thing", ["3", "str", "lambda: 3", "[]"])
def test_what_is_not_a_class_of_the_kind_is_refused_in_one_line(install, thing):
    install("registry_wrong", f"A = {thing}", a="A")
    with pytest.raises(Refused) as error:
        registry(own=Own)["a"]
    assert str(error.value) == (
        f"{GROUP}: a = registry_wrong:A is not one; allowed: a subclass of Base"
    )
