"""Would the tests notice? Single-line mutants of the sources, and the tests that catch them.

    python tests/mutation/run.py --count 200 --seed 1 --out results/mutation.json
    python tests/mutation/run.py --named tests/mutation/named.json --out results/mutation-named.json

A mutant is caught when a test fails, or ends late, or ends its process. The failure counts if the
test fails again on its own, and passes on its own without the mutant. README.md says the rest.
"""

import argparse
import contextlib
import json
import os
import queue
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import covering
import mutants
from copies import Copy, Outcome, files
from covering import Coverage

FOLDERS = ("hvae", "cli")
REST_SECONDS = 600.0


@dataclass(frozen=True)
class Entry:
    """A mutant of a run; a named one has a name, and may say which files of tests come first."""

    path: str
    mutant: mutants.Mutant
    name: str = ""
    tests: list[str] = field(default_factory=list)


class Trial:
    """Tries mutants in one copy.

    Args:
        copy: unmutated.
        coverage: of the original.
        sources: of the original, by path.
        steady: by test, whether it passes on its own without a mutant; filled on the way.
        rest: seconds for the tests that do not run the line.
        recheck: whether a failure must come again.
    """

    def __init__(
        self,
        copy: Copy,
        coverage: Coverage,
        sources: Mapping[str, str],
        steady: dict[str, bool],
        rest: float,
        recheck: bool,
    ) -> None:
        self.copy = copy
        self.coverage = coverage
        self.sources = sources
        self.steady = steady
        self.rest = rest
        self.recheck = recheck

    def __call__(self, path: str, mutant: mutants.Mutant, tests: list[str]) -> dict[str, Any]:
        """What became of a mutant; `tests` are files of tests that are tried first."""
        began = time.monotonic()
        stages, rest = self._stages(path, mutant, tests)
        skip = {name for name, passes in self.steady.items() if not passes}
        tried, caught = 0, None
        with self._ready(path, mutant):
            for order, budget in [*((stage, None) for stage in stages), (rest, self.rest)]:
                while order and caught is None:
                    outcome = self._mutated(order, skip, budget)
                    tried += len(outcome.ended)
                    if outcome.kind == "passed":
                        break
                    if outcome.test is None or self._counts(outcome):
                        caught = outcome
                    else:
                        skip.add(outcome.test)
        return {
            "outcome": "survived" if caught is None else "caught",
            "how": caught.kind if caught else None,
            "by": caught.test if caught else None,
            "why": caught.why.replace(str(self.copy.place), "") if caught else "",
            "covering": sum(map(len, stages)),
            "tried": tried,
            "unsteady": sorted(skip),
            "seconds": round(time.monotonic() - began, 1),
        }

    def _stages(
        self, path: str, mutant: mutants.Mutant, tests: list[str]
    ) -> tuple[list[list[str]], list[str]]:
        if path in self.sources and not tests:
            return covering.stages(self.coverage, self.sources, path, mutant.line)
        usable = [name for name in self.coverage.seconds if name not in self.coverage.failing]
        first = [name for name in usable if name.partition("::")[0] in tests]
        return [first] * bool(first), [name for name in usable if name not in set(first)]

    @contextlib.contextmanager
    def _ready(self, path: str, mutant: mutants.Mutant) -> Iterator[None]:
        """While the block lasts, `_on` and `_off` put the mutant into the copy and take it out."""
        source = (self.copy.tree / path).read_text()
        changed = mutant.apply(source)
        if path.endswith(".py"):
            self._on = lambda: self.copy.write(path, changed)
            self._off = lambda: self.copy.write(path, source)
        else:
            libraries = self.copy.build(path, changed)
            self._on = lambda: self.copy.link(libraries)
            self._off = lambda: self.copy.link(self.copy.libraries)
        yield

    def _mutated(self, order: list[str], skip: Collection[str], budget: float | None) -> Outcome:
        self._on()
        try:
            return self._run(order, skip, budget)
        finally:
            self._off()

    def _run(
        self, order: list[str], skip: Collection[str] = (), budget: float | None = None
    ) -> Outcome:
        tests = list(dict.fromkeys(name.partition("::")[0] for name in order))
        left = [*skip, *self.coverage.failing]
        seconds = self.coverage.seconds
        return self.copy.pytest(tests, order=order, skip=left, seconds=seconds, budget=budget)

    def _counts(self, outcome: Outcome) -> bool:
        """Whether the failure comes again, and only with the mutant."""
        if not self.recheck or outcome.test not in self.coverage.seconds:
            return True
        alone = [outcome.test]
        if self._mutated(alone, (), None).kind == "passed":
            return False
        if outcome.test not in self.steady:
            self.steady[outcome.test] = self._run(alone).kind == "passed"
        return self.steady[outcome.test]


class Results:
    """The document of a run, on the disk after every mutant.

    Args:
        path: a JSON file.
        settings: by which its mutants were chosen.
        chosen: the mutants, in order.
        resume: whether the file may be there, of the same settings and mutants.
        again: whether the survivors in it are tried again.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, Any],
        chosen: list[dict[str, Any]],
        resume: bool,
        again: bool,
    ) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.document = {"settings": dict(settings), "mutants": chosen}
        if not path.exists():
            return
        if not resume:
            raise SystemExit(f"--out: {path} is there; allowed: a new file, or --resume")
        found = json.loads(path.read_text())
        known = {mutant["id"]: mutant for mutant in found["mutants"]}
        same = found["settings"] == self.document["settings"]
        if not same or set(known) != {mutant["id"] for mutant in chosen}:
            raise SystemExit(f"--resume: {path} has other settings, or the sources have changed")
        for mutant in chosen:
            mutant.update(known[mutant["id"]])
            if again and mutant.get("outcome") == "survived":
                del mutant["outcome"]

    @property
    def open(self) -> list[dict[str, Any]]:
        """The mutants that were not tried."""
        return [mutant for mutant in self.document["mutants"] if "outcome" not in mutant]

    def add(self, mutant: dict[str, Any], result: Mapping[str, Any]) -> None:
        """Keep what became of a mutant."""
        with self.lock:
            mutant.update(result)
            self.write()

    def write(self) -> None:
        """The document, whole or not at all."""
        tried = [mutant for mutant in self.document["mutants"] if "outcome" in mutant]
        caught = sum(mutant["outcome"] == "caught" for mutant in tried)
        self.document["summary"] = {
            "mutants": len(self.document["mutants"]),
            "tried": len(tried),
            "caught": caught,
            "survived": len(tried) - caught,
            "share": round(caught / len(tried), 4) if tried else None,
            "how": dict(Counter(mutant["how"] for mutant in tried if mutant["how"])),
            "seconds": round(sum(mutant["seconds"] for mutant in tried)),
        }
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        temporary.write_text(json.dumps(self.document, indent=1) + "\n")
        os.replace(temporary, self.path)

    def table(self) -> str:
        """The survivors in Markdown; `reason` is what a person has written into the document."""
        lines = ["| Place | Operator | Line | Mutant | Reason |", "|---|---|---|---|---|"]
        for mutant in self.document["mutants"]:
            if mutant.get("outcome") == "survived":
                old, new = (f"`` {mutant[key]} ``".replace("|", "\\|") for key in ("old", "new"))
                where = f"{mutant['path']}:{mutant['line']}"
                kind, reason = mutant.get("name") or mutant["operator"], mutant.get("reason", "")
                lines.append(f"| {where} | {kind} | {old} | {new} | {reason} |")
        return "\n".join(lines)


def read_sources(root: Path) -> dict[str, str]:
    """The texts that are mutated, by path."""
    wanted = tuple(f"{folder}/" for folder in FOLDERS)
    paths = [path for path in files(root) if path.startswith(wanted) and path.endswith(".py")]
    return {path: (root / path).read_text() for path in paths}


def read_named(path: Path, sources: Mapping[str, str], root: Path) -> list[Entry]:
    """The mutants of a list of named ones; each may be in any file of the project."""
    found = []
    for entry in json.loads(path.read_text()):
        try:
            source = sources.get(entry["path"]) or (root / entry["path"]).read_text()
            mutant = mutants.named(source, entry["old"], entry["new"], entry.get("after", ""))
        except (KeyError, ValueError, OSError) as error:
            raise SystemExit(f"{path}: {entry['name']}: {error}") from error
        if entry["path"].endswith(".py") and not mutants.is_real(source, mutant):
            raise SystemExit(f"{path}: {entry['name']} does not compile, or changes nothing")
        found.append(Entry(entry["path"], mutant, entry["name"], entry.get("tests", [])))
    return found


def described(entry: Entry, root: Path) -> dict[str, Any]:
    """A mutant as it stands in the document."""
    path, mutant = entry.path, entry.mutant
    source = (root / path).read_text()
    old = source.splitlines()[mutant.line - 1]
    new = mutant.apply(source).splitlines()[mutant.line - 1]
    return {
        "id": f"{path}:{mutant.line}:{mutant.start} {mutant.operator} {mutant.new!r}",
        **({"name": entry.name} if entry.name else {}),
        "path": path,
        "line": mutant.line,
        "operator": mutant.operator,
        "old": old.strip(),
        "new": new.strip(),
    }


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    root = options.root.resolve()
    sources = read_sources(root)
    if options.named:
        entries = read_named(options.named, sources, root)
        settings: dict[str, Any] = {"named": options.named.name}
    else:
        drawn = mutants.draw(sources, options.count, options.seed)
        entries = [Entry(path, mutant) for path, mutant in drawn]
        settings = {"count": options.count, "seed": options.seed}
    entries = [entry for entry in entries if options.only in f"{entry.name} {entry.path}"]
    settings |= {"only": options.only, "operators": list(mutants.OPERATORS)}
    chosen = [described(entry, root) for entry in entries]
    by_id = {mutant["id"]: entry for mutant, entry in zip(chosen, entries, strict=True)}
    if options.list:
        for mutant in chosen:
            print(f"{mutant['id']}\n  - {mutant['old']}\n  + {mutant['new']}")
        return 0
    results = Results(options.out, settings, chosen, options.resume, options.again)
    with contextlib.ExitStack() as stack:
        _try_all(results, by_id, sources, root, options, stack)
    results.write()
    print(results.table())
    print(json.dumps(results.document["summary"]))
    return 0 if results.document["summary"]["caught"] == len(chosen) else 1


def _try_all(
    results: Results,
    by_id: Mapping[str, Entry],
    sources: Mapping[str, str],
    root: Path,
    options: argparse.Namespace,
    stack: contextlib.ExitStack,
) -> None:
    """Try what is open, a thread for each copy."""
    waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    for mutant in results.open:
        waiting.put(mutant)
    if waiting.empty():
        return
    copies = []
    for _ in range(options.workers):
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="mut"))
        copies.append(Copy(root, Path(place)))
    _say("noting which tests run which lines, unless that is known")
    store = (
        options.coverage or Path(tempfile.gettempdir()) / f"mutation-coverage-{os.getuid()}.json"
    )
    tests = [file for file in copies[0].tests() if file.startswith(tuple(options.tests))]
    coverage = covering.recorded(copies[0], FOLDERS, store, tests)
    _say(f"{len(coverage.seconds)} tests; they fail without a mutant: {coverage.failing or '-'}")
    steady: dict[str, bool] = {}

    def work(copy: Copy) -> None:
        trial = Trial(copy, coverage, sources, steady, options.rest, not options.no_recheck)
        while True:
            try:
                mutant = waiting.get_nowait()
            except queue.Empty:
                return
            entry = by_id[mutant["id"]]
            result = trial(entry.path, entry.mutant, entry.tests)
            if copy.stopped:
                return
            results.add(mutant, result)
            _say(f"{result['outcome']:8} {result['seconds']:6.1f} s  {mutant['id']}")

    threads = [threading.Thread(target=work, args=(copy,)) for copy in copies[1:]]
    for thread in threads:
        thread.start()
    try:
        work(copies[0])
        for thread in threads:
            thread.join()
    finally:
        for copy in copies:
            copy.stop()
        for thread in threads:
            thread.join()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200, help="mutants that are drawn")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--named", type=Path, help="a list of mutants, and no draw")
    parser.add_argument("--only", default="", help="those whose name or path has this in it")
    parser.add_argument("--out", type=Path, default=Path("mutation.json"), help="the results")
    parser.add_argument("--resume", action="store_true", help="go on with --out")
    parser.add_argument("--again", action="store_true", help="with --resume: retry its survivors")
    parser.add_argument("--workers", type=int, choices=(1, 2), default=1, help="copies at once")
    parser.add_argument(
        "--coverage", type=Path, help="where it is kept which tests run which lines"
    )
    parser.add_argument(
        "--rest",
        type=float,
        default=REST_SECONDS,
        help="seconds for the tests that do not run the line",
    )
    parser.add_argument("--tests", nargs="+", default=["tests/"], help="only these files of tests")
    parser.add_argument("--no-recheck", action="store_true", help="believe the first failure")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[2], help="the project")
    parser.add_argument("--list", action="store_true", help="only say which mutants there are")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # nothing that runs is left behind
    sys.exit(main())
