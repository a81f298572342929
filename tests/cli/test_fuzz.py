"""Whatever a user types and whatever lies in the files: an answer of one line, never a traceback.

Every example is drawn from a fixed seed (derandomize), so that the same ones run every time.
"""

import contextlib
import io
import os
import shutil
import subprocess

import numpy as np
import pytest
import thorough
from few import CALTECH_FILE, config, digits, few_silhouettes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from processes import WHOLE, Command

from hvae import data, files
from hvae.cli import main
from hvae.runs.checkpoints import Checkpoints
from hvae.runs.folder import CONFIG, RESULT
from hvae.training.begin import train

LINES, PROCESSES = thorough.count(400, 2000), thorough.count(10, 40)
FILES = thorough.count(100, 250)
STATUSES = {0, 2, 3, 4}
FREQUENT = thorough.count({0, 2, 3}, STATUSES)


def examples(count):
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


# ---- command lines -------------------------------------------------------------------------------

ODD = st.sampled_from(
    ["", " ", "-", "--", "-1", "0", "1e999", "nan", "inf", "x", "2.5", "\u0663", "9" * 30, "../..",
     "/dev/null", "/proc/1/mem", "a" * 300, "caf\u00e9", "$(reboot)", "%s", "{0}", "None", "[]"]
) | st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8)  # fmt: skip

# What training takes is small: a valid line takes a few hundredths of a second.
TRAIN = {
    "--dataset": ["digits", "cifar", "caltech"],
    "--shells": ["3", "2,e1", "e4", "10,1", "3,,4", "h3", "3,3,3,3,3,3,3,3", "e0", "02"],
    "--epochs": ["1", "2", "0"],
    "--warmup": ["0", "1", "100", "-1"],
    "--lookahead": ["1", "50"],
    "--batch-size": ["100", "1000000", "0"],
    "--lr": ["0.001", "1e-30", "1e25", "1e30", "0", "-1"],
    "--hidden": ["8", "4,3", "1", "0", "8,,8", ",", "8,-8"],
    "--kappa-grad": ["implicit", "naive", "reinforce", "x"],
    "--parameterization": ["exponential", "scaled", "paper", "x"],
    "--kl-weights": ["auto", "equal", "1", "1,2", "0", "x"],
    "--samples": ["1", "2", "0"],
    "--seed": ["0", "7", str(2**63 - 1), str(2**63)],
    "--device": ["cpu", "cuda:99", "tpu", "cuda:-1"],
    "--threads": ["1", "0"],
    "--data-dir": ["empty", "damaged", "silhouettes", "nowhere", "taken/config.json"],
    "--out": ["taken", "new", "a/b/c", "full", "full/file", "full/file/x", "empty"],
    "--resume": ["taken", "whole", "nowhere", "full", "empty", "bare", "unsealed", "diverged"],
    "--checkpoint-every": ["0", "10", "-1"],
    "--cuda-graph": ["off", "on", "x"],
    "--prior": ["uniform", "mixture", "vamp", "flat"],
    "--prior-components": ["3", "0"],
    "--likelihood": ["auto", "gaussian", "negative-binomial", "categorical", "x"],
    "--network": ["mlp", "gated", "conv", "x"],
    "--data": ["table.csv", "counts.npy", "pictures", "table.txt", "nowhere", "damaged"],
    "--labels": ["kind", "nowhere"],
    "--split": ["0.6,0.2,0.2", "kind", "1,1", "0,0,1"],
    "--split-seed": ["0", "-1"],
    "--image-shape": ["2x3", "6", "7", "x"],
    "--layer": ["raw"],
    "--covariate": ["kind", "1", "nowhere"],
    "--config": ["settings.yaml", "whole/config.json", "full/file", "nowhere"],
    "--json": [],
    "--quiet": [],
    "--help": [],
}
EVAL = {
    "--iw-samples": ["1", "3", "0", "4294967296"],
    "--split": ["test", "validation", "train", "all"],
    "--seed": TRAIN["--seed"],
    "--device": TRAIN["--device"],
    "--threads": TRAIN["--threads"],
    "--data-dir": TRAIN["--data-dir"],
    "--json": [],
    "--quiet": [],
}
FOLDERS = ["taken", "whole", "bare", "nowhere", "full", "full/file", "unsealed"]
SMALL = ["--epochs", "1", "--hidden", "8", "--threads", "1"]


@st.composite
def option(draw, options):
    name = draw(st.sampled_from(list(options)))
    if not options[name]:
        return [name]
    value = draw(st.sampled_from(options[name]) if draw(st.integers(0, 5)) else ODD)
    return [f"{name}={value}"] if draw(st.booleans()) else [name, value]


@st.composite
def some_options(draw, options):
    return sum(draw(st.lists(option(options), max_size=5)), [])


def odd_words(draw):
    """Mostly none: a word too many would hide what the others do."""
    return [draw(ODD)] if draw(st.integers(0, 9)) == 9 else []


@st.composite
def train_line(draw):
    """Small settings first: an option that is given again takes its last value."""
    drawn = draw(some_options({name: TRAIN[name] for name in TRAIN if name != "--resume"}))
    return ["train", *SMALL, *drawn, *odd_words(draw)]


@st.composite
def resume_line(draw):
    names = ["--checkpoint-every", "--data-dir", "--json", "--quiet"]
    some = TRAIN if draw(st.integers(0, 4)) == 4 else {name: TRAIN[name] for name in names}
    resume = draw(option({"--resume": TRAIN["--resume"]}))
    return ["train", *resume, *draw(some_options(some)), *odd_words(draw)]


@st.composite
def eval_line(draw):
    folder = draw(st.sampled_from(FOLDERS))
    options = draw(some_options(EVAL))
    return ["eval", "--iw-samples", "1", folder, *options, *odd_words(draw)]


LINE = st.one_of(
    train_line(),
    train_line(),
    resume_line(),
    eval_line(),
    st.tuples(st.sampled_from(["eval", "info", "bench", "sing"]), ODD, ODD).map(list),
    st.lists(ODD, max_size=3),
)


def run(arguments):
    """A command line in this process: status, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    return status, out.getvalue(), err.getvalue()


def tree(folder):
    """Everything below, by name, with the size and the time of its last change."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in (".", *names):
            path = os.path.join(place, name)
            if name != ".":
                stat = os.stat(path)
                found[path] = (stat.st_size, stat.st_mtime_ns)
            else:
                found[path] = None
    return found


def judge(arguments, status, out, err, before, after):
    assert status in STATUSES, (arguments, status, err)
    assert "Traceback" not in err + out, arguments
    if status:
        assert err.splitlines()[-1].startswith("hvae: error: "), (arguments, err)
        assert out == "", arguments
    if status == 2:
        assert before == after, arguments


@pytest.fixture(scope="module")
def patched():
    """Few digits, and a small Caltech whose file is in none of the usual places; no network."""
    with pytest.MonkeyPatch.context() as patch:
        content = few_silhouettes(patch)
        original = data.load
        patch.setattr(
            data,
            "load",
            lambda name, *rest, **more: digits() if name == "digits" else original(
                name, *rest, **more
            ),
        )  # fmt: skip
        for name in ("http_proxy", "https_proxy"):
            patch.setenv(name, "http://127.0.0.1:9")
        for name in ("no_proxy", "HVAE_DATA_DIR"):
            patch.delenv(name, raising=False)
        yield content


@pytest.fixture(scope="module")
def rooms(patched, tmp_path_factory):
    """Runs and other things to trip over; a test that is done with one copies it from here."""
    home = tmp_path_factory.mktemp("rooms")
    for name in ("empty", "full", "bare", "damaged", "silhouettes", "xdg"):
        (home / name).mkdir()
    (home / "full" / "file").write_text("text")
    (home / "damaged" / CALTECH_FILE).write_bytes(patched[:5000])
    numbers = np.random.default_rng(0).poisson(3, (40, 6))
    np.save(home / "counts.npy", numbers)
    rows = [f"{'ab'[i % 2]},{','.join(map(str, row / 7))}" for i, row in enumerate(numbers)]
    (home / "table.csv").write_text("\n".join(["kind,1,2,3,4,5,6", *rows]))
    (home / "table.txt").write_text("1 2 3")
    (home / "settings.yaml").write_text("hidden: [7]\nshells: 2,e1\nepochs: 1\n")
    (home / "silhouettes" / CALTECH_FILE).write_bytes(patched)
    train(config(threads=1), home / "whole", checkpoint_every=0)
    shutil.copytree(home / "whole", home / "taken")
    (home / "taken" / RESULT).unlink()
    shutil.copytree(home / "taken", home / "unsealed")
    text = (home / "taken" / CONFIG).read_text()
    (home / "unsealed" / CONFIG).write_text(text.replace('"seed": 0', '"seed": 1'))
    shutil.copy(home / "taken" / CONFIG, home / "bare" / CONFIG)
    with pytest.raises(Exception, match="diverged"):
        train(config(threads=1, lr=1e25), home / "diverged")
    return home


@pytest.fixture
def here(rooms, tmp_path, monkeypatch):
    """A copy of the rooms, as the working folder."""
    home = shutil.copytree(rooms, tmp_path / "home")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "xdg"))
    monkeypatch.chdir(home)
    return home


@pytest.mark.slow
def test_command_lines_in_this_process(here):
    seen = {}

    @examples(LINES)
    @given(LINE)
    def answers(arguments):
        before = tree(here)
        status, out, err = run(arguments)
        after = tree(here)
        judge(arguments, status, out, err, before, after)
        seen[status] = seen.get(status, 0) + 1
        for place in set(os.listdir(here)) - {os.path.relpath(p, here) for p in before}:
            path = here / place
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    answers()
    assert sum(seen.values()) >= LINES and FREQUENT <= set(seen) <= STATUSES
    assert seen[0] > LINES / 50  # enough lines are good ones


@pytest.mark.slow
def test_command_lines_as_processes(here):
    """Some of the lines above; a few of them in a whole interpreter, start to end."""
    lines = []

    @examples(LINES)
    @given(LINE)
    def collect(arguments):
        lines.append(arguments)

    collect()
    lines = lines[:: LINES // PROCESSES][:PROCESSES]

    def room(name):
        (here.parent / f"{name} said").mkdir()
        return shutil.copytree(here, here.parent / name), here.parent / f"{name} said"

    statuses = []
    for number, line in enumerate(lines):
        cwd, said = room(f"fork {number}")
        before = tree(cwd)
        command = Command(*line, cwd=cwd, said=said)
        statuses.append(command.wait())
        judge(line, statuses[-1], command.stdout, command.stderr, before, tree(cwd))
    assert len(statuses) == PROCESSES and {0, 2} <= set(statuses)
    for number in range(0, PROCESSES, 8):
        cwd, _ = room(f"whole {number}")
        ran = subprocess.run([*WHOLE, *lines[number]], cwd=cwd, capture_output=True, timeout=150)
        assert ran.returncode == statuses[number] and b"Traceback" not in ran.stderr


# ---- files ---------------------------------------------------------------------------------------


@st.composite
def mutation(draw):
    """Changes of some bytes of a file: a function of its content."""
    kind = draw(st.sampled_from(["flip", "cut", "insert", "repeat", "replace"]))
    places = draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=4))
    junk = draw(st.binary(max_size=20))

    def mutate(content):
        at = [int(place * len(content)) for place in places]
        if kind == "flip":
            for place in at:
                content = content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :]
            return content
        first, last = min(at), max(at)
        return {
            "cut": content[:first],
            "insert": content[:first] + junk + content[first:],
            "repeat": content[:last] + content[first:],
            "replace": junk,
        }[kind]

    return mutate


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5) | st.sampled_from(["3", "e2", "cpu", "digits", "cuda", 0, 1, 3, 0.001]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)  # fmt: skip


def check(arguments, folder):
    before = tree(folder)
    status, out, err = run(arguments)
    judge(arguments, status, out, err, before, tree(folder))
    return status


@pytest.mark.slow
def test_mutated_data_files(here, patched):
    @examples(FILES)
    @given(mutation())
    def answers(mutate):
        (here / "silhouettes" / CALTECH_FILE).write_bytes(mutate(patched))
        shutil.rmtree(here / "new", ignore_errors=True)
        arguments = ["--dataset", "caltech", "--data-dir", "silhouettes", "--out", "new"]
        seen.add(check(["train", "--epochs=1", "--hidden=8", *arguments, "--quiet"], here))

    seen = set()
    answers()
    assert {0, 2} <= seen <= {0, 2, 4}


@pytest.mark.parametrize("part", ["config.json", "metrics.jsonl", "best.safetensors", "checkpoint"])
@pytest.mark.parametrize("command", ["resume", "eval"])
def test_mutated_runs(here, rooms, part, command):
    """Of a run that was cut short; each is what it was, or refused, or goes on from before."""
    content = _file(rooms / "taken", part).read_bytes()
    folder = here / "taken"
    arguments = {"resume": ["train", "--resume"], "eval": ["eval", "--iw-samples=1"]}[command]

    @examples(FILES // 5)
    @given(mutation())
    def answers(mutate):
        shutil.rmtree(folder)
        shutil.copytree(rooms / "taken", folder)
        _file(folder, part).write_bytes(mutate(content))
        check([*arguments, "taken", "--quiet"], folder)

    answers()


@pytest.mark.parametrize("command", ["resume", "eval"])
def test_settings_of_a_stranger(here, rooms, command):
    """Other values under a valid checksum. Sizes and counts that would take long stay theirs."""
    document = files.read_json(rooms / "taken" / CONFIG)
    names = sorted(set(document) - {"epochs", "hidden", "samples", "shells", "threads"})
    arguments = {"resume": ["train", "--resume"], "eval": ["eval", "--iw-samples=1"]}[command]
    folder = here / "taken"

    @examples(FILES // 2)
    @given(st.dictionaries(st.sampled_from([*names, "more"]), VALUE, min_size=1, max_size=3))
    def answers(change):
        shutil.rmtree(folder)
        shutil.copytree(rooms / "taken", folder)
        files.write_json(folder / CONFIG, {**document, **change})
        check([*arguments, "taken", "--quiet"], folder)

    answers()


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_mutated_points(here, suffix):
    points = here / f"points{suffix}"
    assert run(["encode", "whole", "test", "--out", str(points), "--quiet"])[0] == 0
    content = points.read_bytes()

    @examples(FILES // 5)
    @given(mutation())
    def answers(mutate):
        points.write_bytes(mutate(content))
        (here / "decoded.npz").unlink(missing_ok=True)
        seen.add(check(["decode", "whole", str(points), "--out", "decoded.npz", "--quiet"], here))

    seen = set()
    answers()
    assert 2 in seen <= {0, 2}


@pytest.mark.parametrize(
    "part", ["config.json", "metrics.jsonl", "best.safetensors", "result.json"]
)
@pytest.mark.parametrize("command", ["runs", "info"])
def test_mutated_runs_are_listed_and_described(here, rooms, part, command):
    room, folder = (
        ("taken", here / "taken") if part == "metrics.jsonl" else ("whole", here / "whole")
    )
    content = (rooms / room / part).read_bytes()

    @examples(FILES // 10)
    @given(mutation())
    def answers(mutate):
        (folder / part).write_bytes(mutate(content))
        seen.add(check({"runs": ["runs"], "info": ["info", room]}[command] + ["--json"], here))

    seen = set()
    (here / "runs").symlink_to(here)
    answers()
    assert seen <= ({0} if command == "runs" else {0, 2})


LATENTS = {
    "--out": ["new.npz", "new.csv", "new.h5ad", "full/file", "empty", "no/x.npz", "full/x.csv"],
    "--iw-samples": ["1", "0"],
    "-n": ["1", "3", "0", "-1"],
    "--shell": ["1", "2", "3", "0"],
    "--around": ["0", "34", "35", "-1"],
    "--file": ["test", "train", "points.npz", "nowhere"],
    "--covariate": ["a=b", "a", ""],
    "--seed": TRAIN["--seed"],
    "--device": TRAIN["--device"],
    "--data-dir": TRAIN["--data-dir"],
    "--force": [],
    "--json": [],
    "--quiet": [],
}
TAKES = {
    "encode": ["--out", "--device", "--data-dir", "--force", "--json", "--quiet"],
    "score": ["--out", "--iw-samples", "--seed", "--device", "--force", "--json"],
    "decode": ["--out", "--covariate", "--device", "--force", "--json"],
    "sample": ["--out", "-n", "--shell", "--around", "--file", "--covariate", "--seed", "--force"],
}


@st.composite
def latent_line(draw):
    command = draw(st.sampled_from(list(TAKES)))
    files = ["test", "validation", "points.npz", "nowhere.npy", "full/file", "empty", "."]
    file = [] if command == "sample" else [draw(st.sampled_from(files))]
    out = [] if draw(st.integers(0, 3)) == 3 else ["--out", "new.npz"]
    given = draw(some_options({name: LATENTS[name] for name in TAKES[command]}))
    few = {"score": ["--iw-samples", "1"], "sample": ["-n", "2"]}.get(command, [])
    return [command, draw(st.sampled_from(FOLDERS)), *file, *few, *out, *given, *odd_words(draw)]


def test_command_lines_of_latents(here):
    assert run(["encode", "whole", "test", "--out", "points.npz", "--quiet"])[0] == 0
    seen = {}

    @examples(FILES // 3)
    @given(latent_line())
    def answers(arguments):
        before = tree(here)
        status, out, err = run(arguments)
        judge(arguments, status, out, err, before, tree(here))
        seen[status] = seen.get(status, 0) + 1
        for name in ("new.npz", "new.csv"):
            (here / name).unlink(missing_ok=True)

    answers()
    assert set(seen) <= {0, 2, 4} and seen[0] > FILES / 60


@pytest.mark.slow
def test_states_of_a_stranger(here, rooms):
    folder = here / "taken"
    path = Checkpoints(rooms / "taken").paths()[0]
    tensors, document = files.read_packed(path)

    @examples(FILES // 2)
    @given(st.dictionaries(st.sampled_from([*document, "more"]), VALUE, min_size=1, max_size=3))
    def answers(change):
        shutil.rmtree(folder)
        shutil.copytree(rooms / "taken", folder)
        files.write_tensors(folder / path.parent.name / path.name, tensors, {**document, **change})
        assert check(["train", "--resume", "taken", "--quiet"], folder) == 0

    answers()


def _file(folder, part):
    return Checkpoints(folder).paths()[0] if part == "checkpoint" else folder / part
