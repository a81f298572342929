"""setup.py: which kernels are built, and one line where those for CUDA cannot be."""

import runpy
from pathlib import Path

import pytest
import torch

SETUP = Path(__file__).parents[1] / "setup.py"


@pytest.fixture
def setup():
    """The names of setup.py, without running setup()."""
    return runpy.run_path(str(SETUP), run_name="setup_py")


def toolkit(folder, text, status=0):
    """A toolkit whose nvcc says this."""
    nvcc = folder / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text(f"#!/bin/sh\necho '{text}'\nexit {status}\n")
    nvcc.chmod(0o755)
    return str(folder)


RELEASE = "Cuda compilation tools, release {}, V{}.88"


@pytest.mark.parametrize("release", ["13.0", "13.4"])
def test_a_toolkit_of_torchs_major_version_will_do(setup, tmp_path, release):
    home = toolkit(tmp_path, RELEASE.format(release, release))
    assert setup["without_cuda"]("13.0", home) is None


def test_what_will_not_do_is_said(setup, tmp_path):
    reason = setup["without_cuda"]
    assert reason("12.8", None) == reason("12.8", str(tmp_path)) == "nvcc is not there"
    newer = toolkit(tmp_path / "newer", RELEASE.format("13.0", "13.0"))
    expected = f"torch is of CUDA 12.8, {newer}/bin/nvcc of CUDA 13"
    assert reason("12.8", newer) == expected
    odd = toolkit(tmp_path / "odd", "a wrapper")
    assert reason("12.8", odd).endswith("of CUDA unknown")
    broken = toolkit(tmp_path / "broken", "no", status=3)
    assert reason("12.8", broken) == f"{broken}/bin/nvcc does not run"


def test_it_falls_back_to_the_cpu_with_one_line(setup, monkeypatch, capsys):
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setitem(setup["with_cuda"].__globals__, "CUDA_HOME", None)
    monkeypatch.chdir(SETUP.parent)
    extension = setup["ops_extension"]()
    assert not any(source.endswith(".cu") for source in extension.sources)
    assert capsys.readouterr().err == "hvae: built for the CPU only: nvcc is not there\n"


def test_a_torch_without_cuda_needs_no_line(setup, monkeypatch, capsys):
    monkeypatch.setattr(torch.version, "cuda", None)
    assert not setup["with_cuda"]()
    assert capsys.readouterr().err == ""


def test_all_sources_of_the_cuda_kernels_are_built(setup, monkeypatch):
    monkeypatch.chdir(SETUP.parent)
    cuda = {path.name for path in Path("csrc/cuda").iterdir() if path.suffix in (".cu", ".cpp")}
    found = {Path(name).name for name in setup["sources"]("cuda/*.cu", "cuda/*.cpp")}
    assert found == cuda and "orders.cpp" in cuda
