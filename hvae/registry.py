"""Registries of interchangeable parts: those of hvae, and those of other installed packages."""

import functools
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any, Generic, TypeVar

from hvae.errors import EnvironmentProblem, Refused

Part = TypeVar("Part")


class Registry(Mapping[str, type[Part]], Generic[Part]):
    """Classes by name: our own first, then by name those that other packages offer as entry points.

    A package offers a class in its pyproject.toml, under the name that users type:

        [project.entry-points."hvae.components"]
        t = "my_package.torus:Torus"

    It is imported when it is first asked for. Our own names win over those of packages. What is
    installed is looked up once, since that takes milliseconds.

    Args:
        group: the entry-point group.
        base: what every class must be a subclass of.
        own: hvae's own classes.
    """

    def __init__(self, group: str, base: type[Any], own: Mapping[str, type[Part]]) -> None:
        self.group = group
        self.base = base
        self.own = dict(own)
        self._loaded: dict[str, type[Part]] = {}

    @functools.cached_property
    def _offered(self) -> dict[str, metadata.EntryPoint]:
        """The entry points by name, sorted; of two of one name the first on the path."""
        points: dict[str, metadata.EntryPoint] = {}
        for point in metadata.entry_points(group=self.group):
            points.setdefault(point.name, point)
        return {name: points[name] for name in sorted(points) if name not in self.own}

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from self._offered

    def __len__(self) -> int:
        return len(self.own) + len(self._offered)

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in self._offered

    def __getitem__(self, name: str) -> type[Part]:
        """The class of that name.

        Raises:
            KeyError: there is none.
            Refused: what the other package offers is not a subclass of `base`.
            EnvironmentProblem: the other package cannot be imported.
        """
        if name in self.own:
            return self.own[name]
        if name not in self._loaded:
            self._loaded[name] = self._load(self._offered[name])
        return self._loaded[name]

    def _load(self, point: metadata.EntryPoint) -> type[Part]:
        where = f"{self.group}: {point.name} = {point.value}"
        try:
            part = point.load()
        except Exception as error:  # whatever the other package raises while it is imported
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise EnvironmentProblem(f"{where} cannot be imported: {reason}") from error
        if not (isinstance(part, type) and issubclass(part, self.base)):
            raise Refused(f"{where} is not one; allowed: a subclass of {self.base.__name__}")
        return part
