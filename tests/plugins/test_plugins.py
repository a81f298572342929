"""Another package adds a component, a likelihood and a network, and hvae has not one line changed.

The package is `hvae_example` beside this file, the example of docs/extending.md. It is found as an
installed package is: by the entry points in the metadata of a folder on the path.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import outcome

from hvae import random

ENTRY_POINTS = """\
[hvae.components]
l = hvae_example.laplace:Laplace

[hvae.likelihoods]
unit-gaussian = hvae_example.unit_gaussian:UnitGaussian

[hvae.networks]
one-convolution = hvae_example.one_convolution:OneConvolution
"""
COMMAND = [sys.executable, "-c", "import sys; from hvae.cli import main; sys.exit(main())"]
SETTINGS = [
    *("--shells", "3,l2", "--likelihood", "unit-gaussian", "--network", "one-convolution"),
    *("--hidden", "16", "--warmup", "1", "--checkpoint-every", "0", "--kl-weights", "auto"),
]
SECONDS = 120


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The folder to work in."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def installed(home, monkeypatch):
    """That folder, with the example package installed for its processes."""
    metadata = home / "site" / "hvae_example-1.0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: hvae-example\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    path = [str(metadata.parent), str(Path(__file__).parent)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def whole(installed):
    """A run that nothing cut short, which the tests share."""
    if not Path("whole").exists():
        run("train", *SETTINGS, "--epochs", "6", "--out", "whole", "--quiet")
    return installed / "whole"


def run(*arguments, status=0):
    """Standard output of a command line, or standard error of one that fails as it should."""
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == status, done.stderr
    return done.stderr if status else done.stdout


@pytest.mark.slow
def test_a_package_adds_a_component_a_likelihood_and_a_network(whole):
    text = "".join(run("train", "--help").split())  # lines break at hyphens too
    for name in ("l1tol4096", "unit-gaussian", "one-convolution"):
        assert name in text
    config = json.loads((whole / "config.json").read_text())
    assert (config["shells"], config["likelihood"]) == ("3,l2", "unit-gaussian")
    assert config["network"] == "one-convolution"

    result = json.loads(run("eval", "whole", "--iw-samples", "20", "--json", "--quiet"))
    assert result["ll"] >= result["elbo"] and len(result["kl_per_shell"]) == 2
    loaded = "from hvae import load_run; run = load_run('whole'); z = run.prior(5); "
    check = loaded + "print(tuple(z.shape), tuple(run.decode(z).shape), run.model.encoder[1])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("(5, 5) (5, 64) Conv2d(1, 8")


@pytest.mark.slow
def test_its_runs_go_on_after_a_kill(whole):
    arguments = [*COMMAND, "train", *SETTINGS, "--epochs", "6", "--out", "cut", "--quiet"]
    process = subprocess.Popen(arguments)
    try:
        limit = time.monotonic() + SECONDS
        while not list(Path("cut/last").glob("epoch-*.safetensors")):
            assert process.poll() is None and time.monotonic() < limit
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    run("train", "--resume", "cut", "--quiet")
    assert outcome(Path("cut")) == outcome(whole)


def test_without_the_package_its_names_are_refused_in_one_line(whole, monkeypatch):
    monkeypatch.delenv("PYTHONPATH")
    said = run("eval", "whole", status=2)
    assert (
        said.count("\n") == 1 and "'unit-gaussian' is not allowed; allowed: auto, bernoulli" in said
    )


@pytest.mark.parametrize("name", ["laplace", "unit_gaussian", "one_convolution"])
def test_the_guide_quotes_the_package_as_it_is(name):
    here = Path(__file__).parent
    guide = (here.parents[1] / "docs" / "extending.md").read_text()
    assert (here / "hvae_example" / f"{name}.py").read_text() in guide


def test_any_two_modules_make_a_network():
    guide = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()
    names: dict[str, object] = {}
    exec(guide.split("In Python any two modules")[1].split("```python")[1].split("```")[0], names)
    model = names["model"]
    assert model.decode(model.latent.prior.sample(random.stream(0, "user"), 2, 3)).shape == (
        2,
        3,
        64,
    )
