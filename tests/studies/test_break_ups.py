"""Break-ups: sums, smallest sizes, order, and the table that a study of 41 coordinates has."""

import pytest

from hvae.errors import Refused
from hvae.latent import parse
from hvae.studies import break_ups
from hvae.studies.break_ups import BALANCED, FIXED_AMBIENT, FIXED_DOF, LEVELED, UNBALANCED

SIZES = (4, 5, 6, 7, 10, 16, 41, 64)
OF_41 = {
    (1, BALANCED): "41",
    (2, BALANCED): "20,21",
    (2, UNBALANCED): "3,38",
    (4, BALANCED): "10,10,10,11",
    (4, LEVELED): "5,9,12,15",
    (4, UNBALANCED): "3,3,3,32",
    (6, BALANCED): "6,7,7,7,7,7",
    (6, LEVELED): "3,5,6,8,9,10",
    (6, UNBALANCED): "3,3,3,3,3,26",
    (10, BALANCED): "4,4,4,4,4,4,4,4,4,5",
    (10, LEVELED): "2,3,3,4,4,4,5,5,5,6",
    (10, UNBALANCED): "3,3,3,3,3,3,3,3,3,14",
    (20, BALANCED): ",".join(["2"] * 19 + ["3"]),
    (40, BALANCED): ",".join(["2"] * 40),
}


def test_the_fixed_ambient_table_of_41():
    found = {(one.count, one.name): one.shells for one in break_ups.table(FIXED_AMBIENT)}
    assert found == OF_41


def test_the_fixed_dof_table_of_41():
    found = break_ups.table(FIXED_DOF)
    assert [one.count for one in found] == [1, 2, 2, 4, 4, 4, 6, 6, 6, 10, 10, 10, 20, 40]
    assert {one.size - one.count for one in found} == {40}
    shells = {one.shells for one in found}
    assert {"11,11,11,11", ",".join(["5"] * 10), ",".join(["3"] * 20)} <= shells


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", break_ups.TABLES)
def test_every_table_has_spaces_that_can_be_trained(name, size):
    """Of no repeated shells, in the language of --shells, at the size that the table keeps."""
    found = break_ups.table(name, size)
    assert len({one.shells for one in found}) == len(found)
    for one in found:
        assert tuple(c.size for c in parse(one.shells)) == one.sizes
        assert one.sizes == tuple(sorted(one.sizes))
        circles = one.sizes == (2,) * (size - 1)
        if name == FIXED_AMBIENT:
            assert one.size == size or circles
        else:
            assert one.size - one.count == size - 1


@pytest.mark.parametrize("size", range(20, 60))
@pytest.mark.parametrize("count", [2, 3, 4, 7, 10])
def test_the_rules(size, count):
    even = break_ups.balanced(size, count)
    rising = break_ups.leveled(size, count)
    uneven = break_ups.unbalanced(size, count)
    assert {sum(even), sum(rising), sum(uneven)} == {size}
    assert {len(even), len(rising), len(uneven)} == {count}
    assert min(even + rising + uneven) >= 2
    assert max(even) - min(even) <= 1
    ideal = [2 + (size - 2 * count) * i / (count * (count + 1) / 2) for i in range(1, count + 1)]
    assert all(abs(one - other) < 1 for one, other in zip(rising, ideal, strict=True))
    assert len(set(uneven[:-1])) == 1 and uneven[0] in (2, 3)
    if size > 3 * count:
        assert uneven[0] == 3 and uneven[-1] > 3


@pytest.mark.parametrize("size", SIZES)
def test_the_kind_of_a_composition_is_found_again(size):
    for one in break_ups.table(FIXED_AMBIENT, size):
        assert break_ups.kind_of(one.sizes) == one.name
        assert break_ups.kind_of(tuple(reversed(one.sizes))) == one.name
    assert break_ups.kind_of((4, 4, 33)) is None
    assert break_ups.kind_of((1,)) is None


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("fixed", 41, "--table: 'fixed' is not allowed; allowed: fixed-ambient, fixed-dof"),
        (FIXED_DOF, 3, "--size: 3 is not allowed; allowed: an integer from 4 to 4096"),
        (FIXED_DOF, 4097, "--size: 4097"),
        (FIXED_DOF, 4.0, "--size: 4.0"),
    ],
)
def test_what_is_refused(name, size, said):
    with pytest.raises(Refused, match=said):
        break_ups.table(name, size)
