"""Break-ups of one shell into many: which compositions a study compares, named in one place.

Davidson, Tomczak, Gavves (2019, section 3) break S^40, of m = 41 coordinates, up into 2, 4, 6, 10
and 40 sub-spaces, each time balanced, leveled and unbalanced. Two ways to count keep something the
same: the ambient size m, or the degrees of freedom m - k of k shells.

Its text has the counts and not the compositions, so these are ours:

balanced        sizes that differ by at most one
leveled         every shell has one degree of freedom, and the rest in proportion 1 : 2 : ... : k
unbalanced      all shells but one are spheres S^2, and the last has the rest

Of two shells that rise in size one is the larger, so leveled and unbalanced are one kind; the paper
has two rows there too. More than ten shells are balanced only. The full factorization into circles
has two readings. At the same m there is room for m // 2 shells, which is the paper's footnote 2.
Its 40 sub-spaces need 2 (m - 1) coordinates, m - 1 circles: its experiments, and what keeps the
degrees of freedom.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hvae.errors import refused_option

PAPER_SIZE = 41
LEAST_SIZE, MOST_SIZE = 4, 4096

BALANCED, LEVELED, UNBALANCED = "balanced", "leveled", "unbalanced"
NAMES = (BALANCED, LEVELED, UNBALANCED)
FIXED_AMBIENT, FIXED_DOF = "fixed-ambient", "fixed-dof"
TABLES = (FIXED_AMBIENT, FIXED_DOF)

_COUNTS = (1, 2, 4, 6, 10)
_MORE = 20  # which keeps the degrees of freedom as spheres S^2, where m = 41
_CIRCLE, _SPHERE = 2, 3


@dataclass(frozen=True)
class BreakUp:
    """One composition of a table.

    Attributes:
        name: one of `NAMES`.
        sizes: ambient, one a shell.
    """

    name: str
    sizes: tuple[int, ...]

    @property
    def count(self) -> int:
        """Of shells."""
        return len(self.sizes)

    @property
    def size(self) -> int:
        """Ambient, of all shells."""
        return sum(self.sizes)

    @property
    def shells(self) -> str:
        """In the language of `--shells`."""
        return ",".join(map(str, self.sizes))


def balanced(size: int, count: int) -> tuple[int, ...]:
    """Sizes that differ by at most one, the smaller first: (10, 10, 10, 11) for 41 and 4."""
    least, more = divmod(size, count)
    return (least,) * (count - more) + (least + 1,) * more


def leveled(size: int, count: int) -> tuple[int, ...]:
    """Rising sizes: 2 + n_i, where the n_i are as 1 : 2 : ... : count and have the right sum.

    They are rounded by largest remainders: (5, 9, 12, 15) for 41 and 4.
    """
    rest, whole = size - _CIRCLE * count, count * (count + 1) // 2
    shares = [divmod(rest * i, whole) for i in range(1, count + 1)]
    missing = rest - sum(share for share, _ in shares)
    largest = sorted(range(count), key=lambda i: shares[i][1], reverse=True)[:missing]
    return tuple(sorted(_CIRCLE + shares[i][0] + (i in largest) for i in range(count)))


def unbalanced(size: int, count: int) -> tuple[int, ...]:
    """(3, 3, 3, 32) for 41 and 4; circles in place of S^2 where the last would be no larger."""
    small = _SPHERE if size - _SPHERE * (count - 1) > _SPHERE else _CIRCLE
    return (small,) * (count - 1) + (size - small * (count - 1),)


_RULES: dict[str, Callable[[int, int], tuple[int, ...]]] = {
    BALANCED: balanced,
    LEVELED: leveled,
    UNBALANCED: unbalanced,
}


def table(name: str, size: int = PAPER_SIZE) -> list[BreakUp]:
    """The compositions of one of the `TABLES`, from one shell to circles.

    Args:
        name: "fixed-ambient" keeps m, "fixed-dof" keeps m - k (and so has m + k - 1 coordinates).
        size: m, of the single shell.

    Raises:
        Refused: there is no such table, or no such shell to break up.
    """
    if name not in TABLES:
        raise refused_option("table", name, ", ".join(TABLES))
    if not (type(size) is int and LEAST_SIZE <= size <= MOST_SIZE):
        raise refused_option("size", size, f"an integer from {LEAST_SIZE} to {MOST_SIZE}")
    return list(dict.fromkeys(_fixed_ambient(size) if name == FIXED_AMBIENT else _fixed_dof(size)))


def _fixed_ambient(size: int) -> Iterator[BreakUp]:
    for count in _COUNTS:
        if _CIRCLE * count <= size:
            yield from _of_count(size, count)
    yield BreakUp(BALANCED, balanced(size, size // _CIRCLE))
    yield BreakUp(BALANCED, (_CIRCLE,) * (size - 1))


def _fixed_dof(size: int) -> Iterator[BreakUp]:
    for count in _COUNTS:
        if count < size:
            yield from _of_count(size + count - 1, count)
    if size > _MORE:
        yield BreakUp(BALANCED, balanced(size + _MORE - 1, _MORE))
    yield BreakUp(BALANCED, (_CIRCLE,) * (size - 1))


def _of_count(size: int, count: int) -> Iterator[BreakUp]:
    """Those that differ, each under the first name that it has."""
    seen = set()
    for name in NAMES:
        if count <= _CIRCLE and name == LEVELED:
            continue
        sizes = _RULES[name](size, count)
        if sizes not in seen:
            seen.add(sizes)
            yield BreakUp(name, sizes)


def kind_of(sizes: tuple[int, ...]) -> str | None:
    """Which kind of break-up a composition is, in any order of its shells; None for another one."""
    for name, rule in _RULES.items():
        if len(sizes) <= sum(sizes) // _CIRCLE and tuple(sorted(sizes)) == rule(
            sum(sizes), len(sizes)
        ):
            return name
    return None
