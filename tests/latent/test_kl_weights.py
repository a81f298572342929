"""hvae.latent.kl_weights: the language of --kl-weights."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import EstimatedGaussian

from hvae.errors import Refused
from hvae.latent import KINDS, Component, grammar, kl_weights
from hvae.latent.kl_weights import MAX_WEIGHT, MIN_WEIGHT, canonical

TWO = "3,e2"
REFUSED = [
    "", " ", ",", "1,", ",1", "1,,1", "1,2,3", "0,1", "-0,1", "-1,1", "nan,1", "1,inf",
    "1,-inf", "1e999,1", "1e-999,1", "1000001,1", "x,1", "auto,1", "equal,equal", "Auto", "equals",
    "1;2", "1 2", "0x1,1", "1_0,1", "\u0663,1", "1e-7,1",
    "1,2\nx", "9" * 40 + ",1", "x" * 9000, "[1,2]", "None",
]  # fmt: skip


def parse(text, space):
    return kl_weights.parse(text, grammar.parse(space))


def test_equal_is_the_elbo():
    assert parse("equal", "10,2,e41") == [1.0] * 3


def test_a_list_is_itself():
    assert parse("1, 2.5 ,1e-3", "3,e2,4") == [1.0, 2.5, 0.001]
    assert parse(f"{MAX_WEIGHT}", "3") == [MAX_WEIGHT]


def test_one_number_is_the_weight_of_all():
    assert parse("1.5", "3,e2,4") == [1.5, 1.5, 1.5]
    assert canonical("1.50", grammar.parse("3,e2")) == "1.5,1.5"


def test_a_learned_prior_has_one_weight_with_all_components():
    components = grammar.parse("2,5,e3")
    for text, expected in (("auto", 1.0), ("equal", 1.0), ("1.5", 1.5), ("2,2,2", 2.0)):
        assert kl_weights.parse(text, components, learned_prior=True) == [expected] * 3
    with pytest.raises(
        Refused, match="^--kl-weights: a learned prior has one weight with all comp"
    ):
        kl_weights.parse("1,1,2", components, learned_prior=True)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ("2,3,5", [1, 2 - 1 / 2, 2 - 1 / 4]),
        ("41,e4,6", [2 - 5 / 40, 1, 1]),
        ("e1,2", [1, 1]),
        ("e6,4,e1,10", [1, 1, 1, 2 - 3 / 9]),
        ("4096,2", [2 - 1 / 4095, 1]),
        ("e3,e40", [1, 1]),
    ],
)
def test_auto_follows_the_dimension_of_a_shell(space, expected):
    """d = m - 1 for the sphere in R^m; a Gaussian component weighs 1."""
    assert parse("auto", space) == pytest.approx(expected, rel=2.0**-50)


@pytest.mark.parametrize("space", ["5,5,5,5", "3,e2", "e7", "2", "e9,10,10"])
def test_auto_of_equal_shells_is_equal(space):
    assert parse("auto", space) == parse("equal", space)


def test_auto_asks_every_kind_about_its_own_components(monkeypatch):
    """In the order of the list, whatever stands between them."""
    monkeypatch.setattr(kl_weights, "KINDS", {**KINDS, "x": EstimatedGaussian})
    pairs = (("x", 4), ("", 3), ("e", 7), ("", 5), ("x", 2))
    components = [Component(*pair) for pair in pairs]
    assert kl_weights.parse("auto", components) == [1 / 4, 1.0, 1.0, 1.5, 1 / 2]


@pytest.mark.parametrize("text", REFUSED)
def test_refused_in_one_line_that_says_what_is_allowed(text):
    for read in (kl_weights.parse, canonical):
        with pytest.raises(Refused) as refused:
            read(text, grammar.parse(TWO))
        message = str(refused.value)
        assert message.startswith("--kl-weights: ")
        assert message.endswith(f"; allowed: {kl_weights.allowed()}")
        assert "\n" not in message and len(message) < 300


def test_a_wrong_count_is_named():
    with pytest.raises(Refused, match="^--kl-weights: a list of 3 for a space of 2; allowed: "):
        parse("1,1,1", TWO)


def test_canonical_text():
    """Words stay; numbers are the shortest of the same floats."""
    space = grammar.parse(TWO)
    assert [canonical(f" {word}", space) for word in kl_weights.WORDS] == list(kl_weights.WORDS)
    assert canonical(" 1, 2.50", space) == canonical("1e0,02.5", space) == "1.0,2.5"
    assert canonical("0.1000000000000000055,3", space) == "0.1,3.0"


@given(st.lists(st.floats(MIN_WEIGHT, MAX_WEIGHT), min_size=2, max_size=2))
def test_canonical_text_keeps_every_bit(weights):
    space = grammar.parse(TWO)
    text = canonical(",".join(f"{weight:.17e}" for weight in weights), space)
    assert kl_weights.parse(text, space) == weights
    assert canonical(text, space) == text


@given(st.text(max_size=30) | st.text("0123456789.e-+, ", max_size=12))
def test_any_text_is_parsed_or_refused(text):
    try:
        weights = parse(text, TWO)
    except Refused:
        return
    assert len(weights) == 2 and all(0 < weight <= MAX_WEIGHT for weight in weights)
