"""What a network has to say: the seam between rows of data and the latent space.

Another network is one file with a subclass of `Network` and one entry in `hvae.model.networks`, or
an entry point of another package (docs/extending.md). In Python any two modules make one:
`Network(encoder, features, decoder)`.
"""

from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from hvae.description import DataDescription


class Network:
    """An encoder and a decoder.

    Args:
        encoder: from rows [R, W], floating point, to features [R, features].
        features: the width of what the encoder gives. One linear layer makes the raw parameters of
            the posterior of it.
        decoder: from latent points [N, m] to the parameters of the likelihood, [N, outputs]. Where
            there are C covariates, W = D + C and N points have m + C numbers: they stand behind.

    Attributes:
        title: for help texts.
        widths: what `--hidden` is where the user gives none.
    """

    title: ClassVar[str] = "any two modules"
    widths: ClassVar[tuple[int, ...]] = (256, 128)

    def __init__(self, encoder: nn.Module, features: int, decoder: nn.Module) -> None:
        self.encoder = encoder
        self.features = features
        self.decoder = decoder

    @classmethod
    def build(
        cls, data: DataDescription, latent_size: int, outputs: int, hidden: Sequence[int]
    ) -> "Network":
        """The network for a kind of data and a latent space; a registered subclass has its own.

        Args:
            data: what the encoder sees: `data.width` numbers a row, which begin with an array of
                `data.shape`.
            latent_size: what the decoder sees, the coordinates of a latent point and covariates.
            outputs: the numbers that the decoder gives for a row.
            hidden: at least one width, from the data inwards: what the user asked for with
                `--hidden`, or else `widths`.

        Raises:
            Refused: the network does not fit these data; the message says what is allowed.
        """
        raise TypeError(f"{cls.__name__} does not build itself; allowed: a subclass that does")
