"""What is timed on: the same images, concentrations and networks in every section."""

import math

import torch
from torch import Tensor

from hvae import ops, random
from hvae.description import DataDescription, Kind
from hvae.model import VAE
from hvae.runs import TrainConfig
from hvae.runs.assembly import assemble
from hvae.runs.products import with_products
from hvae.training.step import Trainer

PIXELS = 784
INK = 0.15  # of the pixels are on: about that of handwritten digits
BATCH = 100
HIDDEN = (256, 128)  # the paper's
LR = 1e-3
PRIOR_COMPONENTS = 500  # of a learned prior
LEAST, MOST = 1e-2, 1e4  # concentrations


def images(rows: int, device: torch.device) -> Tensor:
    """uint8 [rows, PIXELS] of 0 and 1."""
    uniform = ops.uniform(random.stream(2, "user", device=device), 1, rows, PIXELS)
    return (uniform[0] < INK).to(torch.uint8)


def concentrations(count: int, device: torch.device) -> Tensor:
    """[count], float64, log-uniform in LEAST .. MOST, in random order."""
    uniform = ops.uniform(random.stream(0, "user", device=device), 1, count, 1, dtype=torch.float64)
    return LEAST * torch.exp(uniform[0, :, 0] * math.log(MOST / LEAST))


def network(shells: str, device: torch.device, prior: str = "uniform") -> VAE:
    """The paper's network with the latent space `shells`, its weights as training begins.

    Its products are those that `hvae train` would choose here, for torch's present threads.
    """
    data = DataDescription((PIXELS,), Kind.BINARY)
    config = TrainConfig(
        shells=shells,
        hidden=HIDDEN,
        kl_weights="equal",
        prior=prior,
        prior_components=PRIOR_COMPONENTS,
        device=str(device),
    )
    model = assemble(with_products(config), data)
    model.initialize(seed=0)
    return model.to(device)


def latent_points(model: VAE, count: int) -> Tensor:
    """[count, m], drawn from the prior."""
    rng = random.stream(0, "prior", device=model.device)
    return model.latent.prior.sample(rng, 1, count)[0]


def trainer(model: VAE) -> Trainer:
    """The training of a network as `hvae train` begins it."""
    return Trainer(model, lr=LR, batch_size=BATCH)
