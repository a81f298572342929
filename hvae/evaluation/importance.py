"""The log-likelihood by importance sampling (Burda, Grosse, Salakhutdinov 2016)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hvae import random
from hvae.errors import Diverged, EnvironmentProblem, Refused, refused_option
from hvae.latent import Mixture, ProductPosterior
from hvae.memory import out_of_memory
from hvae.model import VAE
from hvae.observer import Observer
from hvae.rows import Rows

MAX_SAMPLES = 2**32 - 1  # the random stream counts samples in 32 bits

_ENCODER_ROWS = 1000
_ROWS = 100
_CHUNK_BYTES = {"cpu": 12 << 20, "cuda": 256 << 20}  # what a cache holds; what fills a device


@dataclass(frozen=True)
class Evaluation:
    """Means over rows, every row with the same weight; nats.

    Attributes:
        elbo: -(re + kl), and r more with a learned prior.
        re: reconstruction error, the mean of -log p(x | z) over rows and samples.
        kl: the posterior's KL from the prior (from the uniform one, where the prior is learned),
            the mean over rows and, where it is not in closed form, over samples; `kl_per_shell`
            its terms.
        ll: log-likelihood, the mean of log (1/K) sum_k p(x | z_k) p(z_k) / q(z_k | x).
        ll_stderr: the standard error of that mean over rows; None for one row.
        images, iw_samples: how many rows, K.
        r: the mean of log p(z) / p0(z) of a learned prior p, with p0 the uniform one; None without.
    """

    elbo: float
    re: float
    kl: float
    kl_per_shell: list[float]
    ll: float
    ll_stderr: float | None
    images: int
    iw_samples: int
    r: float | None = None


def evaluate(
    model: VAE,
    rows: Rows,
    samples: int,
    seed: int,
    observer: Observer | None = None,
    raw: Tensor | None = None,
) -> Evaluation:
    """ELBO, its parts, and the log-likelihood by importance sampling.

    The model is evaluated as after training (`VAE.evaluating`).

    Row i and sample k draw from row i, sample k of the stream (seed, "evaluation"), so that the
    draws depend on no chunk. Beyond the rows it holds a few numbers a row, a batch for the encoder,
    and a chunk of `_CHUNK_BYTES`, whatever the sample count; where memory is short it halves the
    chunk.

    Args:
        model: the model.
        rows: N >= 1 of them, as the data set has them.
        samples: K >= 1, importance samples a row.
        seed: any integer.
        observer: told of every block of rows.
        raw: [N, raw_width], raw parameters in place of those that the encoder gives.

    Raises:
        Refused: `samples` is not in 1 to `MAX_SAMPLES`, or the rows are not the model's.
        Diverged: a row's log-likelihood is not finite.
        EnvironmentProblem: not even one sample of one row fits into memory.
    """
    found = by_row(model, rows, samples, seed, observer, raw=raw)
    return _evaluation(found, samples, model.learned_prior is not None)


@torch.inference_mode()
def by_row(
    model: VAE,
    rows: Rows,
    samples: int,
    seed: int,
    observer: Observer | None = None,
    alone: bool = False,
    raw: Tensor | None = None,
) -> Tensor:
    """What `evaluate` takes the mean of.

    Args:
        model, rows, samples, seed, observer, raw: as `evaluate`.
        alone: whether every row is computed as if there were no other, with the draws of row 0, so
            that what is found of it is the same to the last bit wherever it stands; that takes a
            few times as long.

    Returns:
        float64 [N, 2 + n] on the model's device: log-likelihood, mean log p(x | z) and the KL of
        each component, of every row. With a learned prior the mean of r is one more column. It may
        be infinite or NaN.

    Raises:
        Refused, EnvironmentProblem: as `evaluate`.
    """
    observer = observer or Observer()
    check_samples(samples)
    check_width(model, rows)
    blocks: list[Tensor] = []
    with model.evaluating():
        mixture = model.mixture
        points = max(1, _CHUNK_BYTES[model.device.type] // point_bytes(model))
        together = 1 if alone else _ENCODER_ROWS
        for start in range(0, len(rows), together):
            batch = rows[start : start + together].to(model.device)
            given = None if raw is None else raw[start : start + together]
            posterior = model.posterior(batch) if given is None else model.latent.posterior(given)
            done = 0
            while done < len(batch):
                part = slice(done, done + min(_ROWS, points))
                there, first = (posterior[part], batch[part]), 0 if alone else start + done
                try:
                    block = _block(model, *there, first, samples, seed, points, mixture)
                except (MemoryError, RuntimeError) as error:
                    points = _fewer(points, error)
                    continue
                blocks.append(block)
                done += len(block)
                observer.images(start + done, len(rows))
    return torch.cat(blocks)


def check_width(model: VAE, rows: Rows) -> None:
    """Raises Refused for rows that are not as wide as the model's."""
    width, found = model.likelihood.data.width, rows[0:1].shape[1]
    if found != width:
        raise Refused(f"rows of {found} numbers; allowed: {width}, as the model")


def check_samples(samples: int) -> None:
    """Raises Refused for a number of importance samples that is not allowed."""
    if not 1 <= samples <= MAX_SAMPLES:
        raise refused_option("iw_samples", samples, f"an integer from 1 to {MAX_SAMPLES}")


def point_bytes(model: VAE) -> int:
    """Bytes that one latent point takes on its way to its log-likelihood, to within a factor.

    One point is decoded, and what every layer gives is counted; a layer that works in place gives
    nothing of its own.
    """
    given: dict[int, Tensor] = {}  # by address; kept until the end, so that none is used again

    def count(_module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            given[output.data_ptr()] = output

    leaves = [module for module in model.decoder.modules() if not list(module.children())]
    hooks = [module.register_forward_hook(count) for module in leaves]
    try:
        model.decode(torch.zeros(1, model.latent.size, dtype=model.dtype, device=model.device))
    finally:
        for hook in hooks:
            hook.remove()
    numbers = sum(output.numel() for output in given.values())
    latent = 2 * model.latent.size + 8 * len(model.latent.components)
    return (numbers + latent) * model.to_posterior.weight.element_size()


def _block(
    model: VAE,
    posterior: ProductPosterior,
    rows: Tensor,
    first: int,
    samples: int,
    seed: int,
    points: int,
    mixture: Mixture | None = None,
) -> Tensor:
    """float64 [R, 2 + n]: log-likelihood, mean log p(x | z), mean KL of each component, by row.

    With a mixture one more column, the mean of r.
    """
    count = max(1, points // len(rows))
    log_sum = rows.new_full((len(rows),), -math.inf, dtype=torch.float64)
    log_likelihood, log_ratio = torch.zeros_like(log_sum), torch.zeros_like(log_sum)
    kl = log_sum.new_zeros((len(rows), len(model.latent.components)))
    for sample in range(0, samples, count):
        rng = random.stream(seed, "evaluation", row=first, sample=sample, device=rows.device)
        drawn = min(count, samples - sample)
        terms = model.terms(
            rows, rng, drawn, with_log_weights=True, posterior=posterior, mixture=mixture
        )
        assert terms.log_weight is not None
        chunk = terms.log_likelihood.double()
        log_likelihood += chunk.sum(0)
        log_sum = torch.logaddexp(log_sum, (chunk + terms.log_weight).logsumexp(0))
        kl += drawn * terms.kl.double()
        if terms.log_ratio is not None:
            log_ratio += terms.log_ratio.double().sum(0)
    by_row = torch.stack([log_sum - math.log(samples), log_likelihood / samples], 1)
    ratio = [] if mixture is None else [log_ratio[:, None] / samples]
    return torch.cat([by_row, kl / samples, *ratio], 1)


def _evaluation(by_row: Tensor, samples: int, learned: bool) -> Evaluation:
    rows = len(by_row)
    lost = by_row.isfinite().all(1).logical_not().nonzero().flatten().tolist()
    if lost:
        raise Diverged(f"evaluation: image {lost[0]} has no finite log-likelihood")
    ll, log_likelihood, *kl = by_row.mean(0).tolist()
    r = kl.pop() if learned else None
    total = math.fsum(kl)
    elbo = log_likelihood - total + (r or 0.0)
    spread = (by_row[:, 0].std() / math.sqrt(rows)).item() if rows > 1 else None
    return Evaluation(elbo, -log_likelihood, total, kl, ll, spread, rows, samples, r)


def _fewer(points: int, error: Exception) -> int:
    if not out_of_memory(error):
        raise error
    if points == 1:
        raise EnvironmentProblem("memory: one sample of one image does not fit") from error
    return points // 2
