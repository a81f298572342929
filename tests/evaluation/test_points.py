"""hvae.evaluation.points: which latent points are let in."""

import pytest
import torch

from hvae.errors import Refused
from hvae.evaluation.points import UNIT_LENGTH, check_points
from hvae.latent import Product, parse

SPACE = Product(parse("e1,2,3"))
GOOD = torch.tensor([[7.0, 0.6, 0.8, 0, 0, 1], [-2, 1, 0, 0, 0, -1]], dtype=torch.float64)


def changed(row, column, value):
    z = GOOD.clone()
    z[row, column] = value
    return z


def test_points_of_the_space_are():
    check_points(SPACE, GOOD, "z")
    check_points(SPACE, changed(1, 1, 1 - 0.9 * UNIT_LENGTH), "z")  # within the tolerance


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (GOOD[:, :5], r"^z is 2 x 5; allowed: \[N, 6\], as the latent space$"),
        (GOOD[0], r"^z is 6; allowed: \[N, 6\]"),
        (GOOD[:0], "^z has no row; allowed: 1 or more$"),
        (changed(1, 0, torch.nan), r"^z, row 1 \(counted from 0\): not finite; allowed: numbers$"),
        (changed(0, 3, torch.inf), r"^z, row 0 \(counted from 0\): not finite"),
        (changed(1, 1, 1.1), r"row 1 \(counted from 0\): shell 2 has length 1.1; allowed: 1, to w"),
        (changed(1, 5, 0.5), "shell 3 has length 0.5; allowed: 1, to within 0.001$"),
        (changed(1, 1, 1 - 1.1 * UNIT_LENGTH), "shell 2 has length 0.9989; allowed: 1"),
    ],
)
def test_others_are_refused(z, message):
    with pytest.raises(Refused, match=message):
        check_points(SPACE, z, "z")


@pytest.mark.parametrize("kind", ["s", "p", "c"])
def test_every_kind_of_sphere_is_checked(kind):
    space = Product(parse(f"e1,{kind}2,3"))
    check_points(space, changed(0, 0, 5.0), "z")
    with pytest.raises(Refused, match="shell 2 has length 1.1"):
        check_points(space, changed(1, 1, 1.1), "z")
