"""Imports point one way: which folder may know which, and what a package loads when imported."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hvae

ROOT = Path(hvae.__file__).parent

# What each part of hvae may import of the others. A part is a package or a module at the top; none
# may import what is not in its row, and no row names one that stands above it.
MAY_IMPORT = {
    "errors": set(),
    "observer": set(),
    "random": set(),
    "_library": {"errors"},
    "build": {"_library"},
    "description": {"errors"},
    "devices": {"build", "errors"},
    "extras": {"errors"},
    "files": {"errors"},
    "memory": {"errors"},
    "registry": {"errors"},
    "tensorboard": {"extras", "observer"},
    "launcher": set(),
    "ranks": {"errors", "launcher"},
    "rows": set(),
    "tables": {"errors", "extras", "files"},
    "ops": {"_library", "errors"},
    "reference": {"errors"},
    "special": {"ops"},
    "distributions": {"ops"},
    "compat": {"distributions"},
    "mixture": {"devices", "distributions", "ops", "random"},
    "latent": {"distributions", "errors", "ops", "registry"},
    "model": {"description", "errors", "latent", "ops", "random", "registry", "rows"},
    "data": {"description", "errors", "extras", "files", "ops", "random", "rows"},
    "runs": {
        *{"data", "description", "devices", "errors", "files", "latent", "memory", "model", "ops"},
        "random",
    },
    "evaluation": {
        *{"build", "data", "devices", "errors", "latent", "memory", "model", "observer"},
        *{"random", "ranks", "rows", "runs", "tables"},
    },
    "plots": {
        *{"data", "description", "errors", "extras", "files", "model", "observer", "ops"},
        *{"random", "runs"},
    },
    "training": {
        *{"build", "data", "devices", "errors", "evaluation", "latent", "memory", "model"},
        *{"observer", "ops", "random", "ranks", "rows", "runs"},
    },
    "studies": {
        *{"data", "devices", "errors", "evaluation", "extras", "files", "latent", "observer"},
        *{"plots", "rows", "runs", "training"},
    },
    "estimator": {
        *{"data", "description", "devices", "errors", "evaluation", "memory", "model", "random"},
        *{"rows", "runs", "training"},
    },
}
# Modules of training and evaluation that know no disk: what they may import of hvae.
WITHOUT_FILES = {
    "training.adam": set(),
    "training.step": {
        *{"errors", "evaluation.elbo", "model", "ops", "random", "ranks", "rows"},
        *{"training.adam", "training.device_steps", "training.divergence"},
    },
    "training.protocol": {
        *{"errors", "evaluation.elbo", "model", "ranks", "rows", "training.device_steps"},
        *{"training.divergence", "training.step"},
    },
    "training.stack": {
        *{"errors", "latent", "model", "training.adam", "training.divergence"},
        *{"training.device_steps", "training.protocol", "training.step"},
    },
    "training.device_steps": set(),
    "training.cuda_graph": set(),
    "training.divergence": {"errors", "latent"},
    "evaluation.elbo": {"model", "random", "ranks", "rows"},
    "evaluation.importance": {"errors", "latent", "memory", "model", "observer", "random", "rows"},
    "evaluation.encoding": {
        *{"errors", "evaluation.importance", "latent", "model", "observer", "random", "rows"}
    },
    "evaluation.scoring": {"errors", "evaluation.importance", "model", "observer", "rows"},
}
LEAVES_OF_DISK = ("data", "runs", "cli", "training", "evaluation", "files")


def imported(path: Path) -> set[str]:
    """The dotted names below hvae that a module imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0 or path.parent.name == "cli", f"{path}: a relative import"
            if node.module == "hvae":
                found |= {alias.name for alias in node.names}
            elif node.module and node.module.startswith("hvae."):
                found.add(node.module.removeprefix("hvae."))
        elif isinstance(node, ast.Import):
            names = (alias.name for alias in node.names)
            found |= {name.removeprefix("hvae.") for name in names if name.startswith("hvae.")}
    return found


def modules() -> list[Path]:
    """But for the two that name others: `import hvae`, and `python -m hvae` as the command line."""
    naming = {ROOT / "__init__.py", ROOT / "__main__.py"}
    return sorted(set(ROOT.rglob("*.py")) - naming)


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_between_folders(path):
    part = part_of(path)
    others = {name.split(".")[0] for name in imported(path)} - {part}
    assert part in MAY_IMPORT, f"{part} has no row: say what it may import"
    assert others <= MAY_IMPORT[part], f"{path.name} imports {others - MAY_IMPORT[part]}"


def test_the_arrows_make_no_circle():
    """Rows can be put in an order in which every one names earlier ones only."""
    placed: set[str] = set()
    while len(placed) < len(MAY_IMPORT):
        free = {part for part, below in MAY_IMPORT.items() if below <= placed} - placed
        assert free, f"a circle among {sorted(set(MAY_IMPORT) - placed)}"
        placed |= free


def test_every_row_is_of_a_part_that_is_there():
    assert set(MAY_IMPORT) == {part_of(path) for path in modules()}


@pytest.mark.parametrize("module", WITHOUT_FILES)
def test_protocol_and_step_know_no_file(module):
    path = ROOT / f"{module.replace('.', '/')}.py"
    assert imported(path) <= WITHOUT_FILES[module]


def loaded_by(statement: str) -> set[str]:
    """The modules of hvae in a new interpreter after a statement."""
    code = f"{statement}\nimport sys\nprint(*(n for n in sys.modules if n.startswith('hvae.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.removeprefix("hvae.") for name in done.stdout.split()}


@pytest.mark.parametrize("package", ["model", "latent"])
def test_the_model_loads_no_data_set_file_or_command_line(package):
    loaded = {name.split(".")[0] for name in loaded_by(f"import hvae.{package}")}
    assert package in loaded
    assert loaded.isdisjoint(LEAVES_OF_DISK)


def test_the_protocol_loads_no_file():
    loaded = loaded_by("import hvae.training.protocol")
    parts = {name.split(".")[0] for name in loaded}
    assert parts.isdisjoint({"data", "runs", "cli", "files"})
    assert {name for name in loaded if name.startswith(("training.", "evaluation."))} == {
        *{"training.protocol", "training.step", "training.adam", "training.divergence"},
        *{"training.device_steps", "evaluation.elbo"},
    }


def test_import_hvae_is_light():
    assert loaded_by("import hvae") == set()


def test_training_and_evaluation_start_without_heavy_packages():
    """Each of these takes longer to import than an epoch of the digits takes."""
    code = """
import sys, tempfile, hvae
with tempfile.TemporaryDirectory() as folder:
    hvae.train(hvae.TrainConfig(shells="s3,e2", epochs=1, warmup=1), out=f"{folder}/run")
    hvae.evaluate_run(f"{folder}/run", samples=2)
heavy = {"sklearn", "scipy", "pandas", "sympy", "torch._dynamo", "matplotlib"}
print(*heavy.intersection(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_library_never_prints():
    for path in modules():
        calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
        assert "print" not in names, path


def test_every_file_of_a_package_is_installed_with_it():
    """What is no module is named among the package data."""
    text = (ROOT.parent / "pyproject.toml").read_text()
    (patterns,) = re.findall(r"^hvae = (\[.*\])$", text, re.MULTILINE)
    given = {path for pattern in ast.literal_eval(patterns) for path in ROOT.glob(pattern)}
    other = {path for path in ROOT.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    other = {path for path in other if path.suffix not in (".py", ".so") and path.name[0] != "."}
    assert other == given
