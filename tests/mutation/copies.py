"""A copy of the tree in which tests run, so that the tree itself is never touched."""

import ast
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INSIDE = Path(__file__).parent / "inside"
OWN = "tests/mutation"  # of the project that is mutated: its own tests are not run
DATA = "HVAE_DATA_DIR"
AUTOLOAD = (
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD"  # a shell may set it: pytest starts in a fifth of the time
)

MEMORY = 8 << 30
LEAST_LIMIT = 60.0  # seconds
TIMES_LONGER = 10.0


@dataclass(frozen=True)
class Outcome:
    """What one pytest process did.

    Attributes:
        kind: "passed"; "failed" or "error", of a test or its set-up; "timeout", "crash", of the
            process while a test ran; "import", of the process before the first test.
        test: the test that ended it, or None.
        why: a line that says so.
        ended: the plugin's events of tests that ended; fixtures: those of fixtures.
        seconds: of the process.
    """

    kind: str
    test: str | None
    why: str
    ended: list[dict[str, Any]] = field(repr=False)
    fixtures: list[dict[str, Any]] = field(repr=False)
    seconds: float


def files(root: Path) -> list[str]:
    """The paths of a project's files, those that git ignores left out."""
    command = ["git", "-C", str(root), "ls-files", "-co", "--exclude-standard", "-z"]
    if (root / ".git").exists():
        listed = subprocess.run(command, capture_output=True, check=True).stdout.decode()
        return sorted(path for path in set(listed.split("\0")) if (root / path).is_file())
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(str(path) for path in found if "__pycache__" not in path.parts)


def beside(root: Path) -> dict[str, str]:
    """The packages that do not lie in their parents: `BESIDE` of setup.py, folders by name."""
    for node in ast.parse((root / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "BESIDE":
            return ast.literal_eval(node.value)
    raise ValueError(f"{root / 'setup.py'} has no BESIDE")


class Copy:
    """A copy of a project, its compiled libraries linked, its data copied.

    Args:
        root: the project.
        place: a new folder, with a short path: sockets lie in it.

    Attributes:
        paths: of the files; `OWN` is not among them.
        stopped: whether `stop` was called; what `pytest` gives after that means nothing.
    """

    def __init__(self, root: Path, place: Path) -> None:
        self.place = place
        self.tree = place / "tree"
        self.paths = [path for path in files(root) if not path.startswith(f"{OWN}/")]
        for path in self.paths:
            (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / path, self.tree / path)
        self.libraries = {
            str(library.relative_to(root)): library.resolve()
            for library in (root / "hvae").rglob("*.so")
        }
        self.link(self.libraries)
        for name in ("tmp", "cache", "inductor"):
            (place / name).mkdir()
        self.environment = self._environment(beside(root))
        self.stopped = False
        self._process: subprocess.Popen[bytes] | None = None

    def tests(self) -> list[str]:
        """The paths of all files of tests."""
        names = {path: Path(path) for path in self.paths if path.startswith("tests/")}
        return [path for path, own in names.items() if own.match("test_*.py")]

    def write(self, path: str, content: str) -> None:
        """Replace a source; its bytecode goes, which is known by time and size alone."""
        (self.tree / path).write_text(content)
        cache = (self.tree / path).parent / "__pycache__"
        for compiled in cache.glob(f"{Path(path).stem}.*.pyc"):
            compiled.unlink()

    def link(self, libraries: Mapping[str, Path]) -> None:
        """Put links to compiled libraries into the tree, in place of those that are there."""
        for path, library in libraries.items():
            (self.tree / path).unlink(missing_ok=True)
            (self.tree / path).symlink_to(library)

    def build(self, path: str, content: str) -> dict[str, Path]:
        """The compiled libraries with another text of one of their sources; minutes.

        Raises:
            RuntimeError: it does not compile.
        """
        place = self.place / "build"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.tree, place, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        (place / path).write_text(content)
        command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
        built = subprocess.run(command, cwd=place, capture_output=True, text=True)
        if built.returncode:
            raise RuntimeError(f"{path} does not compile: {built.stderr.strip()[-300:]}")
        return {name: place / name for name in self.libraries}

    def pytest(
        self,
        tests: Sequence[str],
        *,
        order: Sequence[str] | None = None,
        skip: Sequence[str] = (),
        seconds: Mapping[str, float] | None = None,
        budget: float | None = None,
        stop: bool = True,
        lines: Path | None = None,
        sources: Sequence[str] = (),
    ) -> Outcome:
        """Run tests in a process of its own; whatever it started has ended when this returns.

        Args:
            tests: paths of files.
            order: the ids of tests that are run, in order; None is all.
            skip: ids of tests that are not.
            seconds: what tests take in the original, by id. One may take `TIMES_LONGER` as long
                and `LEAST_LIMIT` besides.
            budget: seconds after which no further test begins.
            stop: at the first failure.
            lines: a folder for notes on the lines of `sources` that run.
        """
        known = dict(seconds or {})
        plan = {
            "order": None if order is None else list(order),
            "skip": list(skip),
            "limits": {name: LEAST_LIMIT + TIMES_LONGER * took for name, took in known.items()},
            "limit": LEAST_LIMIT * TIMES_LONGER,
            "budget": budget,
            "memory": MEMORY,
        }
        (self.place / "plan.json").write_text(json.dumps(plan))
        report = self.place / "report.jsonl"
        report.write_text("")
        command = [sys.executable, "-m", "pytest", "-q", "--strict-markers", "-o", "addopts="]
        command += ["-p", "mutation_plugin", "-p", "no:cacheprovider", "-p", "no:faulthandler"]
        command += ["--rootdir", str(self.tree), "--basetemp", str(self.place / "base")]
        command += [*(["-x"] if stop else []), *tests]
        environment = dict(self.environment)
        if lines is not None:
            environment["MUTATION_LINES"] = str(lines)
            environment["MUTATION_SOURCES"] = json.dumps(list(sources))
        began = time.monotonic()
        status = self._run(command, environment)
        events = [json.loads(line) for line in report.read_text().splitlines()]
        return self._outcome(status, events, time.monotonic() - began)

    def stop(self) -> None:
        """End what runs in the copy."""
        self.stopped = True
        if self._process is not None and self._process.poll() is None:
            _end(self._process)

    def _environment(self, packages: Mapping[str, str]) -> dict[str, str]:
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MUTATION_", "PYTEST_", "COVERAGE_")) or name == AUTOLOAD
        }
        folders = {name: str(self.tree / folder) for name, folder in packages.items()}
        data = own.get(DATA)
        if data and Path(data).is_dir():  # a mutant may write where the original only reads
            own[DATA] = str(shutil.copytree(data, self.place / "data"))
        return {
            "OMP_NUM_THREADS": "1",
            **own,
            "PYTHONPATH": os.pathsep.join([str(INSIDE), str(self.tree)]),
            "MUTATION_BESIDE": json.dumps(folders),
            "MUTATION_PLAN": str(self.place / "plan.json"),
            "MUTATION_REPORT": str(self.place / "report.jsonl"),
            "TMPDIR": str(self.place / "tmp"),
            "XDG_CACHE_HOME": str(self.place / "cache"),
            "TORCHINDUCTOR_CACHE_DIR": str(self.place / "inductor"),
        }

    def _run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        with open(self.place / "output.txt", "w") as output:
            self._process = subprocess.Popen(
                command,
                cwd=self.tree,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                return self._process.wait()
            finally:
                _end(self._process)

    def _outcome(self, status: int, events: list[dict[str, Any]], seconds: float) -> Outcome:
        output = (self.place / "output.txt").read_text(errors="replace")
        ended = [event for event in events if "end" in event]
        fixtures = [event for event in events if "fixture" in event]
        begun = [event["begin"] for event in events if "begin" in event]
        bad = [event for event in ended if event["outcome"] in ("failed", "error")]
        last = next((x for x in reversed(output.splitlines()) if x.strip()), "")[:300]
        if len(begun) > len(ended):
            late = "Timeout (" in output
            kind, test, why = ("timeout" if late else "crash"), begun[-1], f"exit status {status}"
        elif bad:
            kind, test, why = bad[0]["outcome"], bad[0]["end"], bad[0]["why"]
        elif status in (0, 5) or (ended and "the budget is spent" in output):
            kind, test, why = "passed", None, ""
        else:
            said = [line for line in output.splitlines() if line.startswith("E ")]
            kind, test, why = "import", None, said[-1][:300] if said else last
        return Outcome(kind, test, why, ended, fixtures, seconds)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process that leads a session, and whatever it started there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
