"""The paper's tables as data: what an error of typing would break."""

import pytest

from hvae.studies import break_ups, paper


def test_every_row_is_whole():
    """ELBO = -(RE + KL) to the rounding of three numbers with two decimals, and LL >= ELBO."""
    for rows in paper.ROWS.values():
        for row in rows:
            assert row.ll > row.elbo
            if row.re is not None:
                assert abs(row.elbo + row.re + row.kl) < 0.015 + 1e-9


def test_appendix_b1_is_there_for_every_data_set():
    counts = {2: 2, 4: 3, 6: 3, 10: 3}
    for data in ("static-mnist", "caltech", "omniglot"):
        assert {k: len(paper.ROWS[data, 41, k]) for k in counts} == counts
        assert all(row.kl is not None for k in counts for row in paper.ROWS[data, 41, k])
        assert paper.ROWS[data, 41, 1][0].kl is None


@pytest.mark.parametrize(
    ("where", "ll"),
    [
        (("static-mnist", 41, 4, break_ups.BALANCED), -92.65),
        (("caltech", 41, 1, break_ups.BALANCED), -143.49),
        (("caltech", 41, 4, break_ups.UNBALANCED), -168.25),
        (("caltech", 44, 4, break_ups.BALANCED), -137.95),
        (("omniglot", 50, 10, break_ups.BALANCED), -112.61),
    ],
)
def test_rows_as_they_are_printed(where, ll):
    assert paper.row(*where).ll == ll


def test_the_row_that_collapsed_is_the_unbalanced_one():
    """Of Caltech's six shells it is the middle one."""
    assert paper.ROWS["caltech", 41, 6][1].ll == -169.15
    assert paper.row("caltech", 41, 6, break_ups.UNBALANCED).ll == -169.15
    for (data, size, count), rows in paper.ROWS.items():
        if size == 41 and count > 1:
            worst = min(rows, key=lambda row: row.ll)
            assert paper.row(data, size, count, break_ups.UNBALANCED) == worst


def test_every_row_is_paired_with_one_of_ours():
    ours = {
        (one.size, one.count, one.name)
        for table in break_ups.TABLES
        for one in break_ups.table(table)
    }
    for (data, size, count), rows in paper.ROWS.items():
        paired = [
            paper.row(data, size, count, name)
            for name in break_ups.NAMES
            if (size, count, name) in ours
        ]
        assert set(rows) <= set(paired)


@pytest.mark.parametrize(
    "where", [("digits", 41, 4), ("caltech", 40, 20), ("caltech", 80, 40), ("caltech", 41, 3)]
)
def test_elsewhere_there_is_none(where):
    assert paper.row(*where, break_ups.BALANCED) is None
