"""Training that is not finite any more: where it began."""

import torch
from torch import Tensor

from hvae.errors import Diverged
from hvae.latent import Product

NO_COMPONENT = "none (the network)"


class NotFinite(Diverged):
    """A loss or a gradient was not finite and its update was skipped, or validation was not finite.

    Attributes:
        epoch: from 1; step: from 0, that of the random stream; shell: the first component, or
            "none".
    """

    def __init__(self, epoch: int, step: int, shell: str, what: str) -> None:
        where = f"epoch {epoch}, step {step}, shell {shell}"
        super().__init__(f"training diverged in {where}: {what} is not finite")
        self.epoch, self.step, self.shell = epoch, step, shell


def first_bad_component(
    latent: Product, log_likelihood: Tensor, kl: Tensor, raw: Tensor, raw_gradient: Tensor
) -> str:
    """The first component whose KL, raw parameters or gradient are not finite; "none" for the rest.

    Raw parameters that are finite give a finite draw. A gradient that is not finite in every
    component came from the decoder, as it did where log p(x | z) is not finite.

    Args:
        latent: the latent space.
        log_likelihood: [R]; kl: [R, n]; raw: [R, raw_width].
        raw_gradient: [raw_width], the sum over rows of the gradients that arrive at raw.
    """
    bad = ~kl.isfinite().all(0) | latent.owners_of(~raw.isfinite().all(0))
    if not bad.any() and log_likelihood.isfinite().all():
        bad = latent.owners_of(~raw_gradient.isfinite())
        bad &= ~bad.all() | (bad.numel() == 1)
    if not bad.any():
        return NO_COMPONENT
    index = int(torch.nonzero(bad)[0])
    return f"{index + 1} of {len(latent.components)} ({latent.components[index]})"
