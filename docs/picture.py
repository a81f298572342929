"""Draws docs/picture.png: what two trained models hold in their latent spheres.

    hvae train --shells 3 --seed 1 --out runs/sphere
    hvae train --dataset caltech --shells 10,10,10,11 --seed 1 --out runs/caltech
    python docs/picture.py runs/sphere runs/caltech

Left, the digits model's only shell, S^2: what the decoder makes of every direction, longitude by
sine of latitude, so that equal areas of paper are equal areas of the sphere, and so equally likely
under the prior. Right, the Caltech model on S^9 x S^9 x S^9 x S^10: decoded draws from the prior.
"""

import math
import sys
from pathlib import Path

import matplotlib
import torch

import hvae

matplotlib.use("Agg")
from matplotlib import pyplot


def tiles(images: torch.Tensor, columns: int) -> torch.Tensor:
    """Images [N, D] of equal sides as one picture."""
    side = math.isqrt(images.shape[1])
    rows = images.reshape(-1, columns, side, side)
    return rows.permute(0, 2, 1, 3).reshape(rows.shape[0] * side, columns * side)


def sphere(height: int, width: int) -> torch.Tensor:
    """Unit vectors [height * width, 3], rows of equal area from the north pole to the south."""
    sine = 1 - (2 * torch.arange(height) + 1) / height
    longitude = 2 * math.pi * (torch.arange(width) + 0.5) / width
    sine, longitude = torch.meshgrid(sine, longitude, indexing="ij")
    cosine = (1 - sine**2).sqrt()
    points = torch.stack([cosine * longitude.cos(), cosine * longitude.sin(), sine], -1)
    return points.reshape(-1, 3)


def main(digits: str, caltech: str) -> None:
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4.1), width_ratios=(1.6, 1))
    left.imshow(tiles(hvae.load_run(digits).decode(sphere(10, 20)), 20), cmap="gray_r")
    left.set_title("S² of the digits: the whole latent space", fontsize=10)
    run = hvae.load_run(caltech)
    right.imshow(tiles(run.decode(run.prior(48, seed=1)), 8), cmap="gray_r")
    right.set_title("Caltech, S⁹×S⁹×S⁹×S¹⁰: draws from the prior", fontsize=10)
    for axes in (left, right):
        axes.set_xticks([])
        axes.set_yticks([])
    figure.tight_layout()
    figure.savefig(Path(__file__).with_name("picture.png"), dpi=75)


if __name__ == "__main__":
    main(*sys.argv[1:])
