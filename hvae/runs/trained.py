"""A trained model with its run: encode, decode, draw from the prior."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hvae import files, memory, random
from hvae.data import sources
from hvae.description import DataDescription
from hvae.devices import available_device
from hvae.errors import Refused, refused_option
from hvae.model import VAE
from hvae.runs import schema
from hvae.runs.assembly import assemble
from hvae.runs.config import TrainConfig
from hvae.runs.folder import BEST, RESULT
from hvae.runs.outcome import read_config, read_result


@dataclass(frozen=True)
class Run:
    """A trained model with the settings and the outcome of its run.

    Latent points are on the device of the model, rows of data may be elsewhere.

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

    @property
    def description(self) -> DataDescription:
        """What the data are that the model was trained on."""
        return self.model.likelihood.data

    @torch.inference_mode()
    def encode(self, images: Tensor, samples: int | None = None, seed: int = 0) -> Tensor:
        """Latent points of rows of data.

        Args:
            images: [N, W], as the data set has them, W = `description.width`: D numbers of data,
                of binary images pixels 0/1 or probabilities, and behind them the covariates.
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
    def decode(self, z: Tensor, covariates: Tensor | None = None) -> Tensor:
        """E[x | z], [..., D], for latent points [..., m]: of pixels, the probability of a 1.

        Args:
            z: the points.
            covariates: [..., C], whose leading shape broadcasts to that of z (`covariates`); None
                for zeros, which no row of a model with covariates has.
        """
        if covariates is not None:
            covariates = covariates.to(self.model.device)
        decoded = self.model.decode(z.to(self.model.device), covariates)
        return self.model.likelihood.mean(decoded)

    def covariates(self, values: Sequence[str]) -> Tensor:
        """One-hot covariates [C], as they stand behind the data of a row.

        Args:
            values: "COLUMN=VALUE", one for each column that the model was told of.

        Raises:
            Refused: a value that the run does not have, or a column without one.
        """
        known = self.description.covariates
        columns = list(dict.fromkeys(name.partition("=")[0] for name in known))
        given = [value.partition("=")[0] for value in values]
        if set(values) - set(known) or sorted(given) != sorted(columns):
            allowed = f"one for each of {', '.join(columns)}: {', '.join(known)}"
            raise refused_option("covariate", tuple(values), allowed if known else "none")
        return torch.tensor([float(name in values) for name in known])

    @torch.inference_mode()
    def prior(self, samples: int, seed: int = 0) -> Tensor:
        """Latent points [samples, m] from the prior (stream "prior"); `decode` makes images."""
        rng = random.stream(seed, "prior", device=self.model.device)
        return self.model.prior.sample(rng, 1, samples, self.model.dtype)[0]

    @torch.inference_mode()
    def around(self, row: Tensor, shell: int, samples: int, seed: int = 0) -> Tensor:
        """Latent points that differ from a row's in one component only.

        Args:
            row: [1, W], as the data set has it.
            shell: which component, in the order of `--shells`, from 1.
            samples: how many.
            seed: of the draws (stream "prior").

        Returns:
            [samples, m]: the component's coordinates are those of `prior(samples, seed)`, all
            others the mode of the row's posterior.

        Raises:
            Refused: there is no such component.
        """
        components = self.model.latent.components
        if not 1 <= shell <= len(components):
            allowed = f"an integer from 1 to {len(components)} ({self.config.shells})"
            raise refused_option("shell", shell, allowed)
        first = sum(component.size for component in components[: shell - 1])
        columns = slice(first, first + components[shell - 1].size)
        z = self.encode(row).repeat(samples, 1)
        z[:, columns] = self.prior(samples, seed)[:, columns]
        return z


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
    model = model_of(config, description, weights, folder / BEST).to(place)
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


def model_of(
    config: TrainConfig, description: DataDescription, weights: Mapping[str, Tensor], where: object
) -> VAE:
    """The model of a configuration with these weights.

    Args:
        config, description: what describes it.
        weights: its state, on the CPU.
        where: they come from, for messages.

    Raises:
        Refused: they are of another shape, or not finite.
        EnvironmentProblem: the model does not fit in memory.
    """
    with memory.guarded():
        model = assemble(config, description)
    expected = _shapes(model.state_dict())
    found = _shapes(weights)
    wrong = sorted(key for key in expected | found if expected.get(key) != found.get(key))
    if wrong:
        key = wrong[0]
        what = f"{key} is {found.get(key, 'absent')}, not {expected.get(key, 'expected')}"
        raise Refused(f"{where} is of another shape: {what}; allowed: weights for {config.shells}")
    if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
        raise Refused(f"{where} is damaged: a weight is not finite")
    model.load_state_dict(dict(weights))
    return model


def _shapes(state: Mapping[str, Tensor]) -> dict[str, str]:
    return {
        name: f"{'x'.join(map(str, tensor.shape))} {tensor.dtype}".replace("torch.", "")
        for name, tensor in state.items()
    }
