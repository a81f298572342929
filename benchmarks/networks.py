"""The model and the images that training and evaluation are timed on."""

import torch
from torch import Tensor

from hvae import ops, random
from hvae.config import TrainConfig
from hvae.model import VAE

PIXELS = 784
INK = 0.15  # of the pixels are on: about that of handwritten digits


def images(rows: int, device: torch.device) -> Tensor:
    """uint8 [rows, PIXELS] of 0 and 1."""
    uniform = ops.uniform(random.stream(2, "user", device=device), 1, rows, PIXELS)
    return (uniform[0] < INK).to(torch.uint8)


def model(shells: str, device: torch.device) -> VAE:
    """The paper's network with the latent space `shells`, its weights as training begins."""
    network = VAE.like(TrainConfig(shells=shells), PIXELS)
    network.initialize(seed=0)
    return network.to(device)
