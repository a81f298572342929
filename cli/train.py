"""`hvae train`."""

from typing import Any

import click

from hvae import balance, data, shells
from hvae.config import KAPPA_GRADIENTS, TrainConfig, parse_widths
from hvae.training import CHECKPOINT_SECONDS, resume, train

from . import _show as show

_PROTOCOL = TrainConfig()
_WITH_RESUME = {"run", "data_dir", "checkpoint_every", "as_json", "quiet"}


def _setting(name: str, help: str, **more: Any) -> Any:
    """An option that is a field of `TrainConfig`, with its default."""
    default = getattr(_PROTOCOL, name)
    more.setdefault("show_default", default is not None)
    return click.option(f"--{name.replace('_', '-')}", default=default, help=help, **more)


@click.command("train")
@_setting("dataset", f"{', '.join(data.NAMES)}.", metavar="NAME")
@_setting("shells", f"The latent space: {shells.allowed()}.", metavar="LIST")
@_setting("epochs", "How many at most.")
@_setting("warmup", "Epochs over which the weight of the KL rises to 1.")
@_setting("lookahead", "Epochs without an improvement after which training stops.")
@_setting("batch_size", "Images a step.")
@_setting("lr", "Adam's learning rate.")
@click.option(
    "--hidden",
    default=",".join(map(str, _PROTOCOL.hidden)),
    show_default=True,
    metavar="LIST",
    help="Widths of the encoder's layers; the decoder has them in reverse.",
)
@_setting(
    "kappa_grad",
    f"The gradient in the concentration: {', '.join(KAPPA_GRADIENTS)}; naive is biased.",
    metavar="NAME",
)
@_setting(
    "parameterization",
    "Of the concentration, from a number a that the network gives: exponential, m exp(a/2); "
    "scaled, 4m softplus(a) + 0.01; paper, softplus(a) + 1. The decoder sees spheres of radius "
    "sqrt(m), under paper of radius 1.",
    metavar="NAME",
)
@_setting(
    "kl_weights",
    f"What the KL of each component weighs in the loss: {balance.allowed()}. "
    "auto is 2 - least d / d for a sphere of d dimensions, 1 for others; equal is the ELBO.",
    metavar="LIST",
)
@_setting("samples", "Draws of an image in a training step.")
@_setting("seed", "Of every random number.")
@_setting("device", "cpu, cuda or cuda:N.", metavar="NAME")
@_setting("threads", "CPU threads; a step is short, and few networks gain from more than 2.")
@_setting(
    "data_dir",
    "Where the data files are; $HVAE_DATA_DIR or the user's cache if not given.",
    metavar="FOLDER",
)
@click.option("--out", metavar="FOLDER", help="The run's folder; a new one in ./runs if not given.")
@click.option(
    "--resume",
    "run",
    metavar="RUN",
    help="Go on with a run that was cut short; its settings are its own.",
)
@click.option(
    "--checkpoint-every",
    default=CHECKPOINT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="The most work that a power cut may cost; 0: a checkpoint an epoch.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, the result.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def command(
    ctx: click.Context,
    out: str | None,
    run: str | None,
    checkpoint_every: float,
    as_json: bool,
    quiet: bool,
    hidden: str,
    **settings: Any,
) -> None:
    """Train a model and leave a run folder.

    With no option it trains on the 8x8 digits that come with scikit-learn, by the protocol of the
    paper: Adam, KL warm-up, the best epoch by validation ELBO, early stopping.

    \b
    hvae train
    hvae train --dataset caltech --shells 10,10,10,11 --seed 1
    hvae train --dataset caltech --shells e41 --out runs/gaussian
    hvae train --shells 3,3,e4 --epochs 20 --warmup 5 --json > result.json
    hvae train --resume runs/gaussian

    The folder holds config.json, metrics.jsonl, best.safetensors, last/ and result.json.
    SIGINT (Ctrl-C) and SIGTERM stop at the next step and keep the last epoch; a second one stops at
    once. A run that was cut short in any way ends with --resume where it would have ended, bit for
    bit; one that is complete says so (exit status 0), and one that diverged says what to change
    (exit status 3).
    """
    if run is None:
        config = TrainConfig(hidden=parse_widths(hidden), **settings)
        with show.Reporter(quiet) as reporter:
            result = train(config, out, checkpoint_every=checkpoint_every, observer=reporter)
    else:
        _refuse_settings(ctx)
        more = {"data_dir": settings["data_dir"], "checkpoint_every": checkpoint_every}
        with show.Reporter(quiet) as reporter:
            result = resume(run, observer=reporter, **more)
    (show.document if as_json else show.trained)(result)


def _refuse_settings(ctx: click.Context) -> None:
    """--resume takes the settings of the run, and none beside them."""
    given = (
        f"--{name.replace('_', '-')}"
        for name in sorted(set(ctx.params) - _WITH_RESUME)
        if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    )
    for option in given:
        raise click.UsageError(f"{option} is not allowed with --resume: the run has its own.", ctx)
