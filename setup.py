"""The extensions: `hvae._C`, the ops (for the CPU always, for CUDA where torch has it and a toolkit
of its version is there), and `hvae._math`, the scalar mathematics for NumPy. Everything else is in
pyproject.toml.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

# nvcc on the PATH may be a wrapper in another folder than the toolkit, from which torch would guess
# a wrong CUDA_HOME.
if "CUDA_HOME" not in os.environ and Path("/usr/local/cuda/bin/nvcc").exists():
    os.environ["CUDA_HOME"] = "/usr/local/cuda"
# A wheel is built where no GPU may be visible: name the architectures instead of asking a device.
os.environ.setdefault("TORCH_CUDA_ARCH_LIST", "8.0;9.0+PTX")

import torch
from pybind11.setup_helpers import Pybind11Extension
from setuptools import find_packages, setup
from torch.utils.cpp_extension import CUDA_HOME, BuildExtension, CppExtension, CUDAExtension


def without_cuda(torch_cuda, home):
    """Why the CUDA kernels cannot be built for a torch with CUDA; None if they can.

    torch_cuda: the version that torch was built for; home: the folder of the toolkit, or None.
    """
    nvcc = Path(home or "", "bin", "nvcc")
    if home is None or not nvcc.exists():
        return "nvcc is not there"
    try:
        version = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return f"{nvcc} does not run"
    release = re.search(r"release (\d+)", version.stdout)
    if release is None or release[1] != torch_cuda.partition(".")[0]:
        found = release[1] if release else "unknown"
        return f"torch is of CUDA {torch_cuda}, {nvcc} of CUDA {found}"
    return None


def with_cuda():
    """Whether to build the CUDA kernels; says in one line why not where torch has CUDA."""
    if torch.version.cuda is None:
        return False
    reason = without_cuda(torch.version.cuda, CUDA_HOME)
    if reason is not None:
        print(f"hvae: built for the CPU only: {reason}", file=sys.stderr)
    return reason is None


# -ffp-contract=fast: fused multiply-adds, which -std=c++20 would turn off. The other two let a
# compiler make vectors of square roots and of selections; neither touches the rules of NaN and
# infinity, as -ffast-math would.
COMPILE = [
    "-std=c++20",
    "-O3",
    "-g0",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
]
QUIET = ["-Wno-psabi", "-Wno-unknown-pragmas"]
# The stable ABI of torch 2.11: one binary for it and every later version.
STABLE = ["-DTORCH_TARGET_VERSION=0x020b000000000000", "-DPy_LIMITED_API=0x030a0000"]


def sources(*patterns):
    """The files under csrc/ that match, in a fixed order."""
    return sorted(str(path) for pattern in patterns for path in Path("csrc").glob(pattern))


CPU_SOURCES = sources("torch/*.cpp", "cpu/*.cpp")


def ops_extension():
    if not with_cuda():
        return CppExtension(
            "hvae._C",
            CPU_SOURCES,
            extra_compile_args={"cxx": COMPILE + QUIET + STABLE},
            py_limited_api=True,
        )
    return CUDAExtension(
        "hvae._C",
        [*CPU_SOURCES, *sources("cuda/*.cu", "cuda/*.cpp")],
        extra_compile_args={
            "cxx": [*COMPILE, *QUIET, *STABLE, "-DHVAE_WITH_CUDA", "-DUSE_CUDA"],
            "nvcc": [
                "-std=c++20",
                "-O3",
                "--expt-relaxed-constexpr",
                *STABLE,
                "-DHVAE_WITH_CUDA",
                "-DUSE_CUDA",
            ],
        },
        py_limited_api=True,
    )


# The command line and the benchmarks stand beside the library and are installed within it.
BESIDE = {"hvae.cli": "cli", "hvae.benchmarks": "benchmarks"}


def packages():
    """The library's packages, and those of the folders in `BESIDE`."""
    inner = [
        name if not inside else f"{name}.{inside}"
        for name, folder in BESIDE.items()
        for inside in ("", *find_packages(folder))
    ]
    return [*find_packages(include=["hvae", "hvae.*"]), *inner]


# HVAE_ABI3=1: a wheel for every CPython from 3.10 on. `hvae._math`, which only tests use, is not in
# it: pybind11 has no limited API.
ABI3 = os.environ.get("HVAE_ABI3") == "1"


# -Og: tests alone run it, and with -O3 it compiles in 25 s, on one core, in place of 13.
def math_extension():
    return Pybind11Extension(
        "hvae._math", sources("numpy/*.cpp"), extra_compile_args=[*COMPILE, *QUIET, "-Og"]
    )


if __name__ == "__main__":
    setup(
        packages=packages(),
        package_dir={"hvae": "hvae", **BESIDE},
        ext_modules=[ops_extension()] if ABI3 else [ops_extension(), math_extension()],
        options={"bdist_wheel": {"py_limited_api": "cp310"}} if ABI3 else {},
        cmdclass={"build_ext": BuildExtension},
    )
