"""Builds csrc/cuda as a library of CPU ops `hvae_emulated::*` that run in the emulator."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from . import sources
from .ptx import translate

EMULATOR = Path(__file__).parents[1] / "emulator"
TORCH = Path(torch.__file__).parent
TARGET = "-DTORCH_TARGET_VERSION=0x020b000000000000"
NVCC = [
    "-arch=sm_90",
    "-std=c++20",
    "-Xptxas",
    "-warn-spills,-Werror",
    "--expt-relaxed-constexpr",
    "-DUSE_CUDA",
    TARGET,
    "-isystem",
    str(TORCH / "include"),
]
GCC = [
    "-std=c++20",
    "-g1",
    "-fPIC",
    "-w",
    "-march=native",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fvisibility=hidden",
    "-DHVAE_EMULATED",
    "-DHVAE_TIER=emulated",
    TARGET,
    f"-I{EMULATOR}",
    f"-isystem{TORCH / 'include'}",
]
SANITIZE = ["-fsanitize=address", "-fsanitize=undefined", "-fno-omit-frame-pointer"]


def every(key: str) -> bool:
    return True


@dataclass(frozen=True)
class Build:
    """How the kernels are compiled.

    Attributes:
        ptx: nvcc makes PTX of the kernels, and g++ compiles its translation; else g++ compiles the
            kernels themselves.
        counted: basic blocks count their executions; with ptx.
        sanitized: AddressSanitizer and UBSan.
        optimize: g++'s level.
        files: names of .cu files, all by default.
        wanted: which kernels of the PTX are translated, by key.
    """

    ptx: bool = False
    counted: bool = False
    sanitized: bool = False
    optimize: str = "-O0"
    files: tuple[str, ...] = ()
    wanted: Callable[[str], bool] = every

    def library(self, source: Path, folder: Path) -> Path:
        """Compiles what is in source/csrc into a library in `folder`."""
        work = folder / "csrc"
        self._copy_headers(source / "csrc", work)
        registration = work / "ops.cpp"
        registration.write_text(self._registration(source))
        host = sorted((source / "csrc/cuda").glob("*.cpp"))
        units = [*self._files(source), *host, registration, *EMULATOR.glob("*.cpp")]
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            objects = list(pool.map(lambda unit: self._object(unit, source, folder), units))
        library = folder / "libhvae_emulated.so"
        link = ["-shared", "-Wl,-Bsymbolic", f"-L{TORCH / 'lib'}", f"-Wl,-rpath,{TORCH / 'lib'}"]
        sanitize = SANITIZE if self.sanitized else []
        libraries = ["-ltorch", "-ltorch_cpu", "-lc10"]
        _run(["g++", *sanitize, *link, *objects, *libraries, "-o", str(library)])
        return library

    def _files(self, source: Path) -> list[Path]:
        found = list((source / "csrc/cuda").glob("*.cu"))
        return [path for path in found if not self.files or path.name in self.files]

    def _copy_headers(self, csrc: Path, work: Path) -> None:
        shutil.rmtree(work, ignore_errors=True)
        for path in csrc.rglob("*.h"):
            inside = path.relative_to(csrc)
            if inside.parts[0] not in ("cpu", "numpy"):
                rewrite = sources.for_ptx if self.ptx else sources.for_gcc
                (work / inside).parent.mkdir(parents=True, exist_ok=True)
                (work / inside).write_text(rewrite(path.read_text()))

    def _object(self, unit: Path, source: Path, folder: Path) -> str:
        """The object file of a translation unit."""
        if unit.suffix == ".cu":
            unit = self._rewrite(unit, source / "csrc", folder / "csrc")
        return self._compile(unit, folder, source)

    def _rewrite(self, path: Path, csrc: Path, work: Path) -> Path:
        """The .cu file in the work folder."""
        text = path.read_text()
        if self.ptx:
            names = sources.kernel_names((csrc / "math/quantity.h").read_text())
            code = translate(_ptx(path), self.counted, self.wanted)
            includes = '#include "launch_ptx.h"\n#include "ptx.h"\n'
            text = includes + names + code + sources.for_ptx(text)
        else:
            text = '#include "launch.h"\n' + sources.for_gcc(text)
        (work / "cuda" / path.name).write_text(text)
        return work / "cuda" / path.name

    def _registration(self, source: Path) -> str:
        texts = [path.read_text() for path in sorted((source / "csrc/torch").glob("*.cpp"))]
        return (
            "#include <torch/csrc/stable/library.h>\n"
            + sources.schemas(texts, "hvae_emulated")
            + (EMULATOR / "ops.inc").read_text()
        )

    def _compile(self, unit: Path, folder: Path, source: Path) -> str:
        target = folder / (unit.stem + ".o")
        contract = "-ffp-contract=" + ("off" if self.ptx else "fast")
        flags = [*GCC, self.optimize, contract]
        flags += ["-DEMULATOR_COUNTS"] if self.counted else []
        flags += SANITIZE if self.sanitized else []
        if unit.parent == source / "csrc/cuda":  # plain host code, as it is
            flags = [f for f in flags if f != "-DHVAE_EMULATED"]
        _run(["g++", *flags, "-x", "c++", "-c", str(unit), "-o", str(target)])
        return str(target)


def cached(build: Build, source: Path, name: str) -> Path:
    """The library of a build, made once for these sources however many processes ask.

    Args:
        build: how.
        source: the folder with csrc.
        name: of the build; builds that differ must not share one.
    """
    digest = hashlib.sha256()
    scripts = {"build.py", "sources.py", *(("ptx.py", "costs.py") if build.ptx else ())}
    paths = [path for root in (source / "csrc", EMULATOR) for path in root.rglob("*.*")]
    paths += [Path(__file__).with_name(name) for name in scripts]
    for path in sorted(paths):
        digest.update(str(path).encode() + path.read_bytes())
    digest.update(torch.__version__.encode())
    folder = Path(tempfile.gettempdir()) / f"hvae-emulated-{os.getuid()}"
    place = folder / f"{name}-{digest.hexdigest()[:16]}"
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        library = place / "libhvae_emulated.so"
        if not (place / "done").exists():
            build.library(source, place)
            (place / "done").touch()
    return library


def _ptx(path: Path) -> str:
    """What nvcc makes of a .cu file, of which ptxas makes machine code that spills no register."""
    with tempfile.TemporaryDirectory() as folder:
        keep = ["--keep", "--keep-dir", folder, "-o", f"{folder}/{path.stem}.o"]
        _run(["nvcc", *NVCC, "-c", str(path), *keep])
        return (Path(folder) / f"{path.stem}.ptx").read_text()


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if re.search("error|Error", line)]
        raise RuntimeError(f"{' '.join(command[:1])}: " + "\n".join(errors[:8] or [done.stderr]))
