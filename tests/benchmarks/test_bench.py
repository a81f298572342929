"""`hvae bench`: its document as a process writes it, its timers, and what it compares with."""

import ast
import gc
import json
import math
import pathlib
import subprocess
import sys

import pytest
import thorough
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import hvae.benchmarks
from hvae import ops, reference
from hvae.benchmarks.baselines.auto_encoder import AutoEncoder
from hvae.benchmarks.baselines.power_spherical import PowerSpherical
from hvae.benchmarks.baselines.reflection import reflected
from hvae.benchmarks.baselines.von_mises_fisher import ScaledBessel, VonMisesFisher
from hvae.benchmarks.harness import settings, timing, workload
from hvae.benchmarks.harness.figures import Case, Target, Timed
from hvae.benchmarks.harness.floor import Floor
from hvae.benchmarks.harness.timing import (
    LEAST_ROUNDS,
    Plan,
    Spread,
    Subject,
    interleave,
    ratios,
    threads,
    wall,
)
from hvae.benchmarks.sections import draws, evaluation, special_functions, training_step
from hvae.cli import main
from hvae.errors import Diverged

COMMAND = [sys.executable, "-c", "import sys; from hvae.cli import main; sys.exit(main())", "bench"]

SECTIONS = ["special functions", "draws", "training step", "evaluation", "learned prior"]
SECTIONS += ["bandwidth", "checkpoints", "many shells"]
KEYS = {"section", "case", "subject", "unit", "time", "baseline", "baseline_time", "measure"}
KEYS |= {"ratio", "target", "met"}
SPREAD = ["median", "q1", "q3", "min", "max", "rounds"]


@pytest.fixture
def quick(monkeypatch, capfd):
    """What a quick run says: a process of its own with --thorough, else every section in this one,
    with the fewest rounds and a tenth of the samples."""
    options = ["--quick", "--threads", "1"]
    if thorough.ASKED:
        ran = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=600)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout, ran.stderr
    for module, name, value in (
        (settings, "_QUICK", 1e-9),
        (timing, "LEAST_ROUNDS", 2),
        (timing, "_WARM_CALLS", 1),
        (evaluation, "SAMPLES", evaluation.SAMPLES // 10),
        (draws, "ROWS", {"cpu": draws.ROWS["cpu"] // 10}),
        (special_functions, "POINTS", {"cpu": special_functions.POINTS["cpu"] // 10}),
        (special_functions, "SCIPY_POINTS", special_functions.SCIPY_POINTS // 10),
    ):
        monkeypatch.setattr(module, name, value)
    assert main(["bench", *options]) == 0
    return capfd.readouterr()


def test_a_quick_run_prints_tables_and_one_json_line_last(quick):
    out, err = quick
    *table, last = out.splitlines()
    assert [line.split(" ", 1)[1] for line in err.splitlines()] == SECTIONS
    for section in SECTIONS:
        assert any(line.startswith(f"{section}: ") for line in table)

    document = json.loads(last)
    assert set(document) == {
        *("quick", "device", "threads", "tier", "date", "seconds"),
        *("machine", "versions", "sizes", "figures", "targets"),
    }
    assert document["quick"] is True
    assert (document["device"], document["threads"]) == ("cpu", 1)
    assert document["tier"] == torch.ops.hvae.tier()
    assert set(document["machine"]) == {"cpu", "cores", "load", "system", "gpu"}
    assert document["versions"]["torch"] == torch.__version__
    assert list(document["sizes"]) == SECTIONS
    assert 0 < document["seconds"] < 150

    figures = document["figures"]
    assert list(dict.fromkeys(figure["section"] for figure in figures)) == SECTIONS
    for figure in figures:
        assert set(figure) == KEYS
        for key in ("time", "baseline_time", "ratio"):
            spread = figure[key]
            assert list(spread) == SPREAD
            assert spread["rounds"] >= timing.LEAST_ROUNDS
            low, q1, median, q3, high = (spread[k] for k in ("min", "q1", "median", "q3", "max"))
            assert 0 < low <= q1 <= median <= q3 <= high < math.inf
        assert (figure["target"] is None) == (figure["met"] is None)

    # The targets of the kernels, the draws, five steps and a floor, the two evaluations, the prior.
    bounds = [figure for figure in figures if figure["target"]]
    assert [figure["section"] for figure in bounds] == (
        [SECTIONS[0]] * 8
        + [SECTIONS[1]] * 3
        + [SECTIONS[2]] * 6
        + [SECTIONS[3]] * 2
        + [SECTIONS[4]] * 2
        + [SECTIONS[6]]
    )
    targets = document["targets"]
    assert targets["count"] == len(bounds) == len(targets["met"]) + len(targets["missed"])
    assert len(targets["met"]) == sum(figure["met"] for figure in bounds)
    assert table[-1] == f"{len(targets['met'])} of {targets['count']} targets met"


@pytest.mark.parametrize(
    "options, option",
    [
        (["--threads", "0"], "--threads"),
        (["--device", "abacus"], "--device"),
        (["--device", "cuda:99"], "--device"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(options, option, capsys):
    assert main(["bench", *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1 and option in err and "allowed" in err


# ---- timers --------------------------------------------------------------------------------------


def test_a_spread_is_the_order_statistics_of_the_rounds():
    assert Spread.of([4.0, 1.0, 3.0, 2.0, 5.0], 10) == Spread(30, 20, 40, 10, 50, 5)
    assert Spread.of([2.0, 1.0]) == Spread(1.5, 1.25, 1.75, 1, 2, 2)
    assert Spread.of([7.0]) == Spread(7, 7, 7, 7, 7, 1)
    rounded = Spread.of([1 / 3]).document()
    assert rounded == dict(zip(SPREAD, [0.33333] * 5 + [1], strict=True))


def test_subjects_take_turns_and_calls_fill_a_turn():
    order = []

    def subject(name, seconds):
        def clock(work, calls):
            work()
            order.append((name, calls))
            return seconds * calls

        return Subject(lambda: None, clock)

    slow, quick = interleave([subject("slow", 0.02), subject("quick", 0.004)], Plan(9e9, 5, 0.01))
    assert slow == pytest.approx([0.02] * 5, rel=1e-12)
    assert quick == pytest.approx([0.004] * 5, rel=1e-12)
    # 0.01 / 0.02 is below one call; 0.01 / 0.004 rounds to 2.
    forward = [("slow", 1), ("quick", 2)]
    assert order[-10:] == [*forward, *forward[::-1]] * 2 + forward
    warm = order[:-10]
    assert warm and all(calls == 1 for _, calls in warm)


def test_time_that_is_up_ends_the_rounds_but_not_the_first():
    work = Subject(lambda: None, lambda work, calls: 1.0)
    assert interleave([work], Plan(seconds=0.0)) == [[1.0] * LEAST_ROUNDS]


def test_the_garbage_collector_rests_and_comes_back():
    seen = []
    interleave([Subject(lambda: seen.append(gc.isenabled()), wall)], Plan(0.0, turn=0.0))
    assert seen and not any(seen)
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        interleave([Subject(lambda: 1 / 0, wall)], Plan(0.0))
    assert gc.isenabled()


def test_wall_time_is_that_of_all_calls():
    calls = []
    seconds = wall(lambda: calls.append(None), 7)
    assert len(calls) == 7 and 0 < seconds < 1


def test_threads_are_set_back():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


def test_a_ratio_is_taken_round_by_round():
    assert ratios([2.0, 9.0], [4.0, 3.0], scale=10) == [5.0, 30.0]
    # Machine noise of a round hits both: the ratio of the medians would be 3.
    subject, unit = Timed("subject", [1.0, 10.0, 6.0]), Timed("unit", [2.0, 20.0, 2.0])
    case = Case("section", "case", "ms", 1e3)
    cost = case.cost(subject, unit, Target("at_most", 0.5))
    assert cost.ratio == Spread.of([0.5, 0.5, 3.0])
    assert (cost.time.median, cost.baseline_time.median) == (6000, 2000)
    assert cost.met is True and cost.document()["target"] == {"at_most": 0.5}
    speedup = case.speedup(subject, unit, Target("at_least", 2.1))
    assert speedup.ratio.median == 2 and speedup.met is False
    # 30 bytes in 1 s against 120 in 2 s.
    share = case.share(subject, 30, unit, 120)
    assert share.ratio.max == 0.5 and share.met is None and share.document()["target"] is None
    assert Timed.per("rows", [8.0, 4.0], 4).seconds == [2.0, 1.0]
    assert len({cost.name, share.name}) == 1 and cost.name == "section: case: subject / unit"


# ---- what the kernels are compared with: it must be what its name says ---------------------------

DRAWS = 20_000
FALSE_ALARM = 5  # standard errors: 6e-7 a comparison


@pytest.mark.parametrize("m", [2, 11, 41])
@pytest.mark.parametrize("kappa", [0.5, 20.0, 1000.0])
def test_the_usual_draw_is_von_mises_fisher(m, kappa):
    torch.manual_seed(m)
    k = torch.full((DRAWS, 1), kappa, dtype=torch.float64)
    mu = torch.nn.functional.normalize(torch.arange(1.0, m + 1, dtype=torch.float64), dim=0)
    loc = mu.expand(DRAWS, m)
    z = VonMisesFisher(loc, k).rsample()
    # A is the mean of w and A' its variance. The reflection of `reflected` is off by 1e-5/|u|.
    mean, variance = (x.item() for x in reference.vmf(k[:1], [m], "A"))
    assert abs((z @ mu).mean() - mean) < FALSE_ALARM * math.sqrt(variance / DRAWS) + 1e-4
    assert (z.norm(dim=-1) - 1).abs().max() < 1e-4


@pytest.mark.parametrize("m", [2, 3, 10, 41])
def test_the_usual_divergence_is_that_of_the_reference(m):
    k = torch.tensor([[0.7], [5.0], [60.0], [900.0]], dtype=torch.float64, requires_grad=True)
    kl = VonMisesFisher(torch.zeros(4, m, dtype=torch.float64), k).kl_uniform()
    value, slope = reference.vmf(k.detach(), [m], "KL")
    # Terms of size k and nu log k cancel.
    assert (kl - value).abs().max() < 1e-11
    (gradient,) = torch.autograd.grad(kl.sum(), k)
    # k A' from differences of I_nu: eps k^2 of it is lost.
    assert (gradient - slope).abs().max() < 1e-9
    assert torch.autograd.gradcheck(lambda x: ScaledBessel.apply(m / 2 - 1, x), k)


@pytest.mark.parametrize("m", [2, 11])
def test_the_power_spherical_draw_has_its_mean(m):
    torch.manual_seed(1)
    kappa, d = 8.0, m - 1
    loc = torch.nn.functional.normalize(torch.ones(m), dim=0).expand(DRAWS, m)
    x = PowerSpherical(loc, torch.full((DRAWS,), kappa)).rsample()
    # t = 2 Beta(d/2 + kappa, d/2) - 1 (De Cao and Aziz 2020, eq. 11).
    alpha, beta = d / 2 + kappa, d / 2
    mean = (alpha - beta) / (alpha + beta)
    variance = 4 * alpha * beta / ((alpha + beta) ** 2 * (alpha + beta + 1))
    off = (x * loc).sum(-1).mean() - mean
    assert abs(off) < FALSE_ALARM * math.sqrt(variance / DRAWS) + 1e-4
    # 1 - t^2 is kept above 1e-7, so that |x|^2 exceeds 1 by at most that.
    assert (x.norm(dim=-1) - 1).abs().max() < 1e-4


def test_the_reflection_takes_the_first_axis_to_the_mean_direction():
    torch.manual_seed(2)
    mu = torch.nn.functional.normalize(torch.randn(50, 5, dtype=torch.float64), dim=-1)
    e1 = torch.eye(5, dtype=torch.float64)[0].expand(50, 5)
    u = (e1 - mu).norm(dim=-1)
    # u is short of length 1 by 1e-5/|u|, twice; y.u is at most |u|.
    assert ((reflected(e1, mu) - mu).norm(dim=-1) <= 4e-5 / u).all()


CPU = torch.device("cpu")


def test_the_usual_auto_encoder_is_the_network_that_is_timed():
    """As many weights in layers of the same widths, so that the latent space is what differs."""
    usual = AutoEncoder(workload.PIXELS, [10, 10, 10, 11], workload.HIDDEN)
    ours = workload.network("10,10,10,11", CPU)
    counts = [sum(p.numel() for p in model.parameters()) for model in (usual, ours)]
    assert counts[0] == counts[1]


def test_the_usual_auto_encoder_gives_the_terms_of_the_bound():
    torch.manual_seed(3)
    dims = [3, 2, 10]
    usual = AutoEncoder(workload.PIXELS, dims, workload.HIDDEN)
    images = workload.images(6, CPU)
    drawn = []
    usual.decoder.register_forward_hook(lambda module, inputs, output: drawn.append(output))
    log_likelihood, kl = usual(images)
    assert log_likelihood.shape == (6,) and kl.shape == (6, 3)
    expected = ops.bernoulli_log_prob(drawn[0][None], images)[0]
    # A sum of D terms of one sign, in any order, is good to D eps of itself.
    bar = workload.PIXELS * torch.finfo(torch.float32).eps
    assert ((log_likelihood - expected) / expected).abs().max() < bar
    posteriors = usual.posteriors(images.float())
    kappa = torch.cat([posterior.kappa for posterior in posteriors], 1).detach()
    assert kappa.min() > 1
    # float32: terms of size kappa and nu log kappa, here below 10, cancel.
    assert (kl - reference.vmf(kappa, dims, "KL")[0]).abs().max() < 1e-4
    (kl.sum() - log_likelihood.sum()).backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in usual.parameters())


class Products(TorchDispatchMode):
    """The shapes of what is multiplied in a block: rows, inputs and outputs of every product."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        name = function.overloadpacket.__name__
        if name in ("mm", "addmm", "_linear_pointwise"):
            a, b = arguments[1:3] if name == "addmm" else arguments[:2]
            columns = b.shape[0] if name == "_linear_pointwise" else b.shape[1]
            self.shapes.append((*a.shape, columns))
        return function(*arguments, **(options or {}))


def test_the_floor_is_the_products_of_a_step_and_nothing_else():
    """Forwards and for every derivative: the multiset that a step of training computes."""
    steps = training_step.Steps("10,10,10,11", CPU)
    floor = Floor(steps.trainer.model, workload.BATCH)
    with Products() as of_step:
        steps()
    with Products() as of_floor:
        floor()
    assert len(of_floor.shapes) == 17  # six layers, three each but for the input of the first
    assert sorted(of_floor.shapes) == sorted(of_step.shapes)
    assert floor.operations == sum(2 * math.prod(shape) for shape in of_floor.shapes)


@pytest.mark.parametrize("kind", [training_step.Steps, training_step.UsualSteps])
def test_a_timed_step_is_one_of_a_training_that_goes_on(kind):
    """Every call changes the weights; a step that fails is not taken for a time."""
    steps = kind("3,2", CPU)
    model = steps.model if kind is training_step.UsualSteps else steps.trainer.model
    weights = [p.detach().clone() for p in model.parameters()]
    for _ in range(training_step.BATCHES + 1):  # round the batches, and into the next round
        steps()
        steps.check()
        before, weights = weights, [p.detach().clone() for p in model.parameters()]
        assert any((a != b).any() for a, b in zip(before, weights, strict=True))
    with torch.no_grad():
        next(model.parameters()).fill_(math.nan)
    steps()
    with pytest.raises(Diverged, match="3,2"):
        steps.check()


# ---- the folders ---------------------------------------------------------------------------------

ARROWS = {
    "harness": set(),
    "baselines": {"harness"},
    "sections": {"harness", "baselines"},
    "reports": {"harness", "baselines"},
}


def test_imports_point_one_way():
    """reports, sections -> baselines -> harness; what is compared with uses nothing of hvae."""
    home = pathlib.Path(hvae.benchmarks.__file__).parent
    assert {path.name for path in home.iterdir() if (path / "__init__.py").exists()} == set(ARROWS)
    for folder, allowed in ARROWS.items():
        for path in (home / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.level == 2:
                    assert (node.module or "").partition(".")[0] in allowed, (path, node.lineno)
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += (
                    [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
                )
                ours = [name for name in names if name.split(".")[0] == "hvae"]
                assert folder != "baselines" or not ours, (path, node.lineno)
                assert not any(name.startswith("hvae.benchmarks") for name in ours), path
