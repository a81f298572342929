"""What every distribution on a product of spheres shares: shapes, support, validation, expand."""

from collections.abc import Sequence
from typing import ClassVar, TypeVar

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import dependent_property

from hvae.distributions.constraints import Describable, UnitVectors, check_tensor, violation

Self = TypeVar("Self", bound="OnSpheres")


class OnSpheres(Distribution):
    """A distribution on a product of spheres, packed along the one event axis.

    Attributes:
        dims: ambient dimension of each shell.
        device: of parameters and draws.
        shared: the names of the attributes that do not depend on the batch, as the parameters do.
    """

    has_rsample = True
    dims: tuple[int, ...]
    device: torch.device
    shared: ClassVar[tuple[str, ...]]

    def _finish(self, batch_shape: torch.Size, validate_args: bool | None) -> None:
        """Distribution.__init__, whose checks of values torch.compile would have to read."""
        event_shape = torch.Size([sum(self.dims)])
        wanted = self._validate_args if validate_args is None else validate_args
        checked = wanted and not torch.compiler.is_compiling()
        try:
            super().__init__(batch_shape, event_shape, validate_args=checked)
        except ValueError as error:
            raise ValueError(self._complaint() or str(error)) from None
        self._validate_args = wanted

    def _complaint(self) -> str | None:
        found = (
            violation(name, getattr(self, name), constraint)
            for name, constraint in self.arg_constraints.items()
            if isinstance(constraint, Describable)
        )
        return next(filter(None, found), None)

    @dependent_property(is_discrete=False, event_dim=1)
    def support(self) -> UnitVectors:
        """Unit vectors, on every shell."""
        return UnitVectors(self.dims)

    def _validate_sample(self, value: Tensor) -> None:
        check_tensor("value", value, self.device)
        if value.dim() < 1 or value.shape[-1:] != self.event_shape:
            raise ValueError(
                f"value has shape {tuple(value.shape)}; allowed: [..., {sum(self.dims)}]"
            )
        if torch.compiler.is_compiling():
            return
        try:
            super()._validate_sample(value)
        except ValueError as error:
            raise ValueError(violation("value", value, self.support) or str(error)) from None

    def _expanded(
        self: Self,
        family: "type[OnSpheres]",
        batch_shape: Sequence[int],
        instance: Distribution | None,
    ) -> Self:
        """What `expand` of the class `family` gives; nothing is copied.

        A subclass with an __init__ of its own has attributes unknown here, and is refused.
        """
        new: Self
        new = self._get_checked_instance(family, instance)  # type: ignore[no-untyped-call]
        for name in self.shared:
            setattr(new, name, getattr(self, name))
        for name in self.arg_constraints:
            value = getattr(self, name)
            event_shape = value.shape[len(self.batch_shape) :]
            setattr(new, name, value.expand(torch.Size(batch_shape) + event_shape))
        Distribution.__init__(new, torch.Size(batch_shape), self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new
