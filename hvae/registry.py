"""Registries of interchangeable parts: those of hvae, and those of other installed packages."""

from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any, Generic, TypeVar

from hvae.errors import EnvironmentProblem, Refused

Part = TypeVar("Part")


class Registry(Mapping[str, type[Part]], Generic[Part]):
    """Classes by name: our own first, then those that other packages offer as entry points.

    A package offers a class in its pyproject.toml, under the name that users type:

        [project.entry-points."hvae.components"]
        t = "my_package.torus:Torus"

    It is imported when it is first asked for. Our own names win over those of packages.

    Args:
        group: the entry-point group.
        base: what every class must be a subclass of.
        own: hvae's own classes.
    """

    def __init__(self, group: str, base: type[Any], own: Mapping[str, type[Part]]) -> None:
        self.group = group
        self.base = base
        self._known = dict(own)

    def __iter__(self) -> Iterator[str]:
        offered = sorted({point.name for point in metadata.entry_points(group=self.group)})
        yield from self._known
        yield from (name for name in offered if name not in self._known)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._known or any(name == other for other in self)

    def __getitem__(self, name: str) -> type[Part]:
        """The class of that name.

        Raises:
            KeyError: there is none.
            Refused: what the other package offers is not a subclass of `base`.
            EnvironmentProblem: the other package cannot be imported.
        """
        if name in self._known:
            return self._known[name]
        points = tuple(metadata.entry_points(group=self.group, name=name))
        if not points:
            raise KeyError(name)
        return self._loaded(points[0])

    def _loaded(self, point: metadata.EntryPoint) -> type[Part]:
        where = f"{self.group}: {point.name} = {point.value}"
        try:
            part = point.load()
        except Exception as error:  # whatever the other package raises while it is imported
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise EnvironmentProblem(f"{where} cannot be imported: {reason}") from error
        if not (isinstance(part, type) and issubclass(part, self.base)):
            raise Refused(f"{where} is not a class; allowed: a subclass of {self.base.__name__}")
        self._known[point.name] = part
        return part
