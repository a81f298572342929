"""A trained model with its run: encode, decode, draw from the prior."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hvae import files, random
from hvae.data import sources
from hvae.description import DataDescription
from hvae.devices import available_device
from hvae.errors import Refused
from hvae.model import VAE
from hvae.runs import schema
from hvae.runs.assembly import assemble
from hvae.runs.config import TrainConfig
from hvae.runs.folder import BEST, RESULT
from hvae.runs.outcome import read_config, read_result


@dataclass(frozen=True)
class Run:
    """A trained model with the settings and the outcome of its run.

    Attributes:
        path: the folder.
        config: the settings.
        model: the network with the best weights, in evaluation mode.
        result: result.json, or None for a run that has not ended.
    """

    path: Path
    config: TrainConfig
    model: VAE
    result: dict[str, Any] | None

    @torch.inference_mode()
    def encode(self, images: Tensor, samples: int | None = None, seed: int = 0) -> Tensor:
        """Latent points of rows of data.

        Args:
            images: [N, D], as the data set has them; of binary images, pixels 0/1 or probabilities.
            samples: None for the posterior's mode, else how many draws a row.
            seed: of the draws (stream "user").

        Returns:
            [N, m], or [samples, N, m]; the coordinates of a shell are a unit vector.
        """
        posterior = self.model.posterior(images.to(self.model.device))
        if samples is None:
            return posterior.mode()
        rng = random.stream(seed, "user", device=self.model.device)
        return posterior.draw(rng, samples).z

    @torch.inference_mode()
    def concentration(self, images: Tensor) -> Tensor:
        """[N, n]: for every row the kappa of a shell, the mean precision of a Gaussian."""
        return self.model.posterior(images.to(self.model.device)).concentration

    @torch.inference_mode()
    def decode(self, z: Tensor) -> Tensor:
        """E[x | z], [..., D], for latent points [..., m]: of pixels, the probability of a 1."""
        return self.model.likelihood.mean(self.model.decode(z.to(self.model.device)))

    @torch.inference_mode()
    def prior(self, samples: int, seed: int = 0) -> Tensor:
        """Latent points [samples, m] from the prior (stream "prior"); `decode` makes images."""
        rng = random.stream(seed, "prior", device=self.model.device)
        return self.model.prior.sample(rng, 1, samples, self.model.dtype)[0]


def load_run(path: str | os.PathLike[str], device: str = "cpu") -> Run:
    """The best model of a run, of this version of hvae or an earlier one.

    Args:
        path: the run's folder.
        device: where the model shall be: "cpu", "cuda", "cuda:N".

    Raises:
        Refused: not the folder of a run, one without a best model yet, damaged files, weights of
            another shape, or a device that is not there.
        EnvironmentProblem: a file cannot be read.
    """
    folder = Path(path)
    config = read_config(folder)
    place = available_device(device)
    tensors, document = files.read_packed(folder / BEST)
    weights = schema.tensors(tensors, document)
    description = _description(document, config, folder / BEST)
    model = _model(config, description, weights, folder / BEST).to(place)
    ended = (folder / RESULT).exists()
    return Run(folder, config, model.eval(), read_result(folder) if ended else None)


def _description(document: Mapping[str, Any], config: TrainConfig, path: Path) -> DataDescription:
    """What the data were; before it stood in the file they were a published set."""
    if schema.KEY not in document:
        return sources.named(config.dataset).description
    try:
        return DataDescription.from_json(document.get("data"))
    except Refused as error:
        raise Refused(f"{path} is damaged: {error}") from error


def _model(
    config: TrainConfig, description: DataDescription, weights: Mapping[str, Tensor], path: Path
) -> VAE:
    """The model of a configuration with these weights."""
    with torch.device("meta"):
        expected = _shapes(assemble(config, description).state_dict())
    found = _shapes(weights)
    wrong = sorted(key for key in expected | found if expected.get(key) != found.get(key))
    if wrong:
        key = wrong[0]
        what = f"{key} is {found.get(key, 'absent')}, not {expected.get(key, 'expected')}"
        raise Refused(f"{path} is of another shape: {what}; allowed: weights for {config.shells}")
    if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
        raise Refused(f"{path} is damaged: a weight is not finite")
    model = assemble(config, description)
    model.load_state_dict(dict(weights))
    return model


def _shapes(state: Mapping[str, Tensor]) -> dict[str, str]:
    return {
        name: f"{'x'.join(map(str, tensor.shape))} {tensor.dtype}".replace("torch.", "")
        for name, tensor in state.items()
    }
