"""The emulator sees faults: small kernels with one each, and in long runs the project's own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import thorough
from translation.build import EMULATOR, SANITIZE

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SEEN = {
    "none": "right",
    "divergent collective": "deadlock",
    "different collectives": "meet differently",
    "race": "depends on the order",
    "missing shuffle": "wrong",
    "unwritten output": "wrong",
    "read out of bounds": "heap-buffer-overflow",
    "write out of bounds": "heap-buffer-overflow",
}
# In the project's kernels: file, a line, what stands there with the fault, how it is built.
PLANTED = {
    "a coordinate too many": (
        "layout.h",
        "      if (b * each + i < m) work(n * each + i, b * each + i);",
        "      work(n * each + i, b * each + i);",
        "sanitized",
    ),
    "a sum that one lane leaves out": (
        "layout.h",
        "  return cg::reduce(tile, x, cg::plus<T>());",
        "  return tile.thread_rank() == 1 ? x : cg::reduce(tile, x, cg::plus<T>());",
        "gcc",
    ),
    "a winner that is not shared": (
        "angle.h",
        "      p.eps = tile.shfl(p.eps, winner);",
        "",
        "gcc",
    ),
    "a gradient that is not written": (
        "sample.cu",
        "    if (tile.thread_rank() == 0) a.grad_k[at] = grad_k;",
        "    if (tile.thread_rank() == 0 && row) a.grad_k[at] = grad_k;",
        "gcc",
    ),
    "a coordinate of another lane, without a barrier": (
        "tangent.h",
        "        if (j < m) t(0, j) = g[i];",
        "        if (j < m) t(0, m - 1 - j) = g[i];",
        "gcc",
    ),
    "pixels beyond the row": (
        "bernoulli.cu",
        "j < a.pixels; j += kWarp",
        "j < (a.pixels + kWarp - 1) / kWarp * kWarp; j += kWarp",
        "sanitized",
    ),
}


@pytest.fixture(scope="module")
def probes(tmp_path_factory):
    program = tmp_path_factory.mktemp("probes") / "probes"
    files = [HERE / "probes.cpp", EMULATOR / "grid.cpp", EMULATOR / "fiber.cpp"]
    flags = ["-std=c++20", "-O1", "-g1", f"-I{EMULATOR}", *SANITIZE]
    subprocess.run(["g++", *flags, *map(str, files), "-o", str(program)], check=True)
    return program


@pytest.mark.parametrize("fault", SEEN)
def test_a_fault_of_a_small_kernel_is_seen(probes, fault):
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([probes, fault], env=environment, capture_output=True, text=True)
    assert SEEN[fault] in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("fault", thorough.count([], list(PLANTED)))
def test_a_fault_of_the_projects_kernels_is_seen(tmp_path, fault):
    """A copy of the sources with the fault does not pass the tests."""
    file, line, instead, backend = PLANTED[fault]
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    shutil.copytree(ROOT / "tests", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "csrc/cuda" / file
    text = path.read_text()
    assert line in text
    path.write_text(text.replace(line, instead))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-n", "0"]
    command += ["tests/cuda", "--deselect", "tests/cuda/test_emulator.py"]
    if backend == "sanitized":
        command = ["bash", "tests/cuda/sanitize", *command[3:]]
    environment = {**os.environ, "HVAE_CUDA_BACKEND": backend}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    words = {"gcc": ("AssertionError", "emulated GPU"), "sanitized": ("AddressSanitizer",)}
    assert done.returncode != 0
    assert any(word in done.stdout + done.stderr for word in words[backend])
