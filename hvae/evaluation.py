"""What a model is worth: the ELBO and its parts, and the importance-weighted log-likelihood."""

import math
import os
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hvae import build, data, random, runs
from hvae.config import refused_option, use_threads
from hvae.errors import Diverged, EnvironmentProblem, Refused
from hvae.model import VAE
from hvae.observer import Observer

SPLITS = ("test", "validation", "train")

MAX_SAMPLES = 2**32 - 1  # the random stream counts samples in 32 bits

_ENCODER_ROWS = 1000
_ROWS = 100
_CHUNK_BYTES = {"cpu": 12 << 20, "cuda": 256 << 20}  # what a cache holds; what fills a device


@dataclass(frozen=True)
class Evaluation:
    """Means over images, every image with the same weight; nats.

    Attributes:
        elbo: -(re + kl).
        re: reconstruction error, the mean of -log p(x | z) over images and samples.
        kl: the posterior's KL from the prior, in closed form; `kl_per_shell` its terms.
        ll: log-likelihood, the mean of log (1/K) sum_k p(x | z_k) p(z_k) / q(z_k | x).
        ll_stderr: the standard error of that mean over images; None for one image.
        images, iw_samples: how many, K.
    """

    elbo: float
    re: float
    kl: float
    kl_per_shell: list[float]
    ll: float
    ll_stderr: float | None
    images: int
    iw_samples: int


@torch.no_grad()
def elbo(model: VAE, images: Tensor, seed: int) -> dict[str, Any]:
    """The ELBO at KL weight 1 with one sample an image, the same noise at every call.

    Args:
        model: the model.
        images: uint8 [N, D] of 0 and 1.
        seed: of the stream "validation", step 0, row = index of the image.

    Returns:
        `summary` of the images.
    """
    parts = []
    for row in range(0, len(images), _ENCODER_ROWS):
        batch = images[row : row + _ENCODER_ROWS]
        head = model.encode(batch)
        rng = random.stream(seed, "validation", row=row, device=batch.device)
        terms = model.terms(head, batch, rng)
        parts.append((terms.log_likelihood[0], terms.kl, model.latent.concentration(head)))
    return summary(*(torch.cat(part) for part in zip(*parts, strict=True)))


def summary(log_likelihood: Tensor, kl: Tensor, concentration: Tensor) -> dict[str, Any]:
    """Means over images: `elbo`, `re`, `kl`, `kl_per_shell`, and the concentrations `kappa`.

    Args:
        log_likelihood: [N], log p(x | z); kl: [N, n]; concentration: [N, n].
    """
    columns = torch.cat([-log_likelihood[:, None], kl, concentration], 1)
    re, *means = columns.double().mean(0).tolist()
    kl_per_shell, kappa = means[: kl.shape[1]], means[kl.shape[1] :]
    total = math.fsum(kl_per_shell)
    return {
        "elbo": -(re + total),
        "re": re,
        "kl": total,
        "kl_per_shell": kl_per_shell,
        "kappa": kappa,
    }


@torch.inference_mode()
def evaluate(
    model: VAE, images: Tensor, samples: int, seed: int, observer: Observer | None = None
) -> Evaluation:
    """ELBO, its parts, and the log-likelihood by importance sampling.

    Image i and sample k draw from row i, sample k of the stream (seed, "evaluation"), so that the
    draws depend on no chunk. Beyond the images it holds a head and a few numbers an image, and a
    chunk of `_CHUNK_BYTES`, whatever the sample count; where memory is short it halves the chunk.

    Args:
        model: the model, on the device of the images.
        images: uint8 [N, D] of 0 and 1, N >= 1.
        samples: K >= 1, importance samples an image.
        seed: any integer.
        observer: told of every block of images.

    Raises:
        Refused: `samples` is not in 1 to `MAX_SAMPLES`, or the images are not the model's.
        Diverged: an image's log-likelihood is not finite.
        EnvironmentProblem: not even one sample of one image fits into memory.
    """
    observer = observer or Observer()
    _check_samples(samples)
    if images.shape[1] != model.pixels:
        raise Refused(f"images of {images.shape[1]} pixels; allowed: {model.pixels}, as the model")
    heads = torch.cat([model.encode(batch) for batch in images.split(_ENCODER_ROWS)])
    points = max(1, _CHUNK_BYTES[images.device.type] // _point_bytes(model))
    blocks = []
    row = 0
    while row < len(images):
        rows = slice(row, row + min(_ROWS, points))
        try:
            blocks.append(_block(model, heads[rows], images[rows], row, samples, seed, points))
        except (MemoryError, RuntimeError) as error:
            points = _fewer(points, error)
            continue
        row += len(blocks[-1])
        observer.images(row, len(images))
    return _evaluation(torch.cat(blocks), samples)


def _block(
    model: VAE, head: Tensor, images: Tensor, row: int, samples: int, seed: int, points: int
) -> Tensor:
    """float64 [R, 2 + n]: log-likelihood, mean log p(x | z), KL of each component, by image."""
    count = max(1, points // len(images))
    log_sum = head.new_full((len(images),), -math.inf, dtype=torch.float64)
    log_likelihood = torch.zeros_like(log_sum)
    for sample in range(0, samples, count):
        rng = random.stream(seed, "evaluation", row=row, sample=sample, device=head.device)
        terms = model.terms(head, images, rng, min(count, samples - sample), weigh=True)
        chunk = terms.log_likelihood.double()
        log_likelihood += chunk.sum(0)
        log_sum = torch.logaddexp(log_sum, (chunk + terms.log_weight).logsumexp(0))
    by_image = torch.stack([log_sum - math.log(samples), log_likelihood / samples], 1)
    return torch.cat([by_image, terms.kl.double()], 1)


def _evaluation(by_image: Tensor, samples: int) -> Evaluation:
    images = len(by_image)
    lost = by_image.isfinite().all(1).logical_not().nonzero().flatten().tolist()
    if lost:
        raise Diverged(f"evaluation: image {lost[0]} has no finite log-likelihood")
    ll, log_likelihood, *kl = by_image.mean(0).tolist()
    total = math.fsum(kl)
    spread = (by_image[:, 0].std() / math.sqrt(images)).item() if images > 1 else None
    return Evaluation(
        log_likelihood - total, -log_likelihood, total, kl, ll, spread, images, samples
    )


def _check_samples(samples: int) -> None:
    if not 1 <= samples <= MAX_SAMPLES:
        raise refused_option("iw_samples", samples, f"an integer from 1 to {MAX_SAMPLES}")


def _point_bytes(model: VAE) -> int:
    """Bytes that one latent point takes on its way to its log-likelihood, to within a factor."""
    widths = [layer.out_features for layer in model.decoder if hasattr(layer, "out_features")]
    parts = sum(widths) + 2 * model.latent.size + 8 * len(model.latent.shells)
    return parts * model.head.weight.element_size()


def _fewer(points: int, error: Exception) -> int:
    if not out_of_memory(error):
        raise error
    if points == 1:
        raise EnvironmentProblem("memory: one sample of one image does not fit") from error
    return points // 2


def out_of_memory(error: BaseException) -> bool:
    """Whether the error says that the memory of the host or of a device is exhausted.

    torch has a class for devices only; its CPU allocator raises a RuntimeError with these words.
    """
    words = ("can't allocate memory", "not enough memory", "Cannot allocate memory")
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or any(word in str(error) for word in words)


def evaluate_run(
    folder: str | os.PathLike,
    *,
    split: str = "test",
    samples: int = 500,
    seed: int | None = None,
    device: str = "cpu",
    threads: int | None = None,
    data_dir: str | None = None,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Evaluate the best model of a run on a split and store the result in the run's folder.

    Args:
        folder: the run's folder.
        split: one of `SPLITS`; "train" of a set that is binarized anew every epoch is evaluated as
            epoch 0, which training never sees.
        samples: importance samples an image.
        seed: of the draws; None is the run's own.
        device: as in `TrainConfig`.
        threads: CPU threads; None leaves torch's own number.
        data_dir: as in `TrainConfig`; None is the run's own.
        observer: told of downloads, warnings and progress.

    Returns:
        the document of eval-SPLIT-SAMPLES-SEED.json.

    Raises:
        Refused: an argument, the run or the data; nothing is written.
        EnvironmentProblem: the memory, the disk or the network.
    """
    began = time.perf_counter()
    observer = observer or Observer()
    _check_samples(samples)
    if split not in SPLITS:
        raise refused_option("split", split, ", ".join(SPLITS))
    run = runs.load_run(folder, device)
    own = run.config
    config = replace(
        own,
        seed=own.seed if seed is None else seed,
        threads=own.threads if threads is None else threads,
        data_dir=own.data_dir if data_dir is None else data_dir,
    )
    use_threads(threads)
    dataset = data.load(config.dataset, config.data_dir, progress=observer.download)
    warnings = [*dataset.warnings, *_other_data(run, dataset)]
    for warning in warnings:
        observer.warning(warning)
    images = dataset.epoch(own.seed, 0) if split == "train" else getattr(dataset, split)
    document = {
        "run": run.path.resolve().name,
        "dataset": dataset.name,
        "shells": config.shells,
        "split": split,
        "seed": config.seed,
        **asdict(evaluate(run.model, images.to(device), samples, config.seed, observer)),
        "data_checksum": dataset.checksum,
        "data_verified": dataset.verified,
        "warnings": warnings,
        "threads": torch.get_num_threads(),
        "versions": build.versions(),
        "seconds": time.perf_counter() - began,
    }
    runs.RunFolder(run.path).save_evaluation(document)
    return document


def _other_data(run: runs.Run, dataset: data.Dataset) -> list[str]:
    trained = (run.result or {}).get("data_checksum", dataset.checksum)
    return [] if trained == dataset.checksum else [f"the run was trained on other data: {trained}"]
