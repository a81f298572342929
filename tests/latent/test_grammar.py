"""hvae.latent.grammar: the language of --shells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import EstimatedGaussian

from hvae.errors import Refused
from hvae.latent import KINDS, grammar
from hvae.latent.grammar import MAX_SIZE, MAX_TOTAL, Component, parse

REFUSED = [
    "", " ", ",", "10,", ",10", "10,,10", "1", "0", "-3", "+3", "2.5", "1e3", "ten", "e0", "e",
    "e-1", "x5", "E5", "10;10", "10 10", "\u0661\u0660", "0x10", "4097", "9" * 40,
    "e" * 9000, ",".join(["4096"] * 17), "nan", "10\n,e",
]  # fmt: skip


def test_vmf_shells_by_ambient_size():
    assert parse("10,10,10,11") == (Component("", 10),) * 3 + (Component("", 11),)


def test_a_euclidean_component():
    assert parse("e41") == (Component("e", 41),)


def test_kinds_mix_and_blanks_do_not_matter():
    assert parse(" 2, e1 ,4096") == (Component("", 2), Component("e", 1), Component("", 4096))


@pytest.mark.parametrize("text", REFUSED)
def test_refused_in_one_line_that_says_what_is_allowed(text):
    with pytest.raises(Refused) as refused:
        parse(text)
    message = str(refused.value)
    assert message.startswith("--shells: ")
    assert message.endswith(f"; allowed: {grammar.allowed()}")
    assert "\n" not in message and len(message) < 300


def test_the_largest_space_is_accepted():
    assert sum(component.size for component in parse(",".join(["4096"] * 16))) == MAX_TOTAL


def test_a_kind_of_another_package_is_parsed_and_named(monkeypatch):
    """By its letters and its own least size; the line of what is allowed has its title."""
    monkeypatch.setattr(grammar, "KINDS", {**KINDS, "x": EstimatedGaussian})
    assert parse("x2,3") == (Component("x", 2), Component("", 3))
    assert grammar.text(parse("x2,3")) == "x2,3"
    assert f"x2 to x{MAX_SIZE} ({EstimatedGaussian.title})" in grammar.allowed()
    with pytest.raises(Refused, match="^--shells: 'x1' is too small; allowed: "):
        parse("x1")
    with pytest.raises(Refused, match="^--shells: 'xe3' is of an unknown kind; allowed: "):
        parse("xe3")


@given(st.lists(st.tuples(st.sampled_from(["", "e"]), st.integers(2, 500)), min_size=1))
def test_text_is_the_inverse_of_parse(components):
    space = tuple(Component(*component) for component in components)
    assert parse(grammar.text(space)) == space


@given(st.text(max_size=30))
def test_any_text_is_parsed_or_refused(text):
    try:
        space = parse(text)
    except Refused:
        return
    assert all(component.size >= KINDS[component.kind].least for component in space)
    assert parse(grammar.text(space)) == space
