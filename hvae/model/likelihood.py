"""What a likelihood has to say: the seam between the decoder's output and the data.

Another likelihood is one file with a subclass of `Likelihood` and one entry in
`hvae.model.likelihoods`, or an entry point of another package (docs/extending.md).
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from hvae import random
from hvae.description import DataDescription, Kind
from hvae.errors import Refused
from hvae.rows import Rows


class Likelihood(nn.Module, ABC):
    """p(x | z): what the numbers that the decoder gives say of a row of data.

    A subclass sets `title` and `takes`, gives `outputs`, and computes. It may have parameters of
    its own, which are trained with the networks, and buffers, which stay with the weights. Shapes
    are for R rows of D numbers and K samples; what is [..., outputs] may have any leading shape.

    Args:
        data: what the rows are.

    Attributes:
        title: for help texts.
        takes: the kinds of data that it is a likelihood of.
        binarizes: whether it wants numbers of the unit interval drawn 0 and 1.
        data: what the rows are.

    Raises:
        Refused: it does not take data of this kind.
    """

    title: ClassVar[str]
    takes: ClassVar[frozenset[Kind]]
    binarizes: ClassVar[bool] = False

    def __init__(self, data: DataDescription) -> None:
        super().__init__()
        if data.kind not in self.takes:
            allowed = ", ".join(sorted(kind.value for kind in self.takes))
            raise Refused(
                f"--likelihood: {self.title} does not take {data.kind.value} data; "
                f"allowed: {allowed}"
            )
        self.data = data

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many numbers the decoder gives for a row.

        Where it gives several for each number of the row, those of one stand together.
        """

    @property
    def seen(self) -> DataDescription:
        """What `encoder_input` gives, for which the network is built."""
        return self.data

    def observe(self, train: Rows) -> None:
        """Look at the training rows once, before training, and remember in buffers.

        Args:
            train: [N, W], on the CPU; the data are their first D numbers.
        """

    def encoder_input(self, x: Tensor) -> Tensor:
        """What the encoder sees of rows x [R, D]: [R, seen.size], in any dtype.

        The model makes it its own dtype.
        """
        return x

    @abstractmethod
    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """log p(x | z) in nats, summed over a row.

        Args:
            parameters: [K, R, outputs], what the decoder gave.
            x: [R, D], as the data set has them.

        Returns:
            [K, R].
        """

    @abstractmethod
    def mean(self, parameters: Tensor) -> Tensor:
        """E[x | z] of parameters [..., outputs]: [..., D], in the data's units."""

    @abstractmethod
    def sample(self, parameters: Tensor, rng: Tensor) -> Tensor:
        """x ~ p(x | z) of parameters [K, R, outputs], from the stream `rng`: [K, R, D]."""


def generator_of(rng: Tensor) -> torch.Generator:
    """A generator of torch, on the CPU, for draws that no kernel makes: of the stream's seed.

    Unlike a kernel's, its numbers depend on how many are drawn at once.
    """
    return torch.Generator("cpu").manual_seed(random.seed_of(rng))
