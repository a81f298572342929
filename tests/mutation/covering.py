"""Which tests run a line, and the order in which they are tried on a mutant of it."""

import ast
import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from copies import Copy

QUICK = 1.0  # seconds
FILES_AT_ONCE = 4
FILES_NEAR = 4

Line = tuple[str, int]


@dataclass
class Coverage:
    """What the unmutated suite did.

    Attributes:
        seconds: of each test by id, with the fixtures that it shares with others.
        lines: the tests that ran a line, by path and line.
        failing: tests that fail without a mutant; they are never run.
        untraced: tests that fail only while lines are noted; which lines they run is not known.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[Line, set[str]] = field(default_factory=dict)
    failing: list[str] = field(default_factory=list)
    untraced: list[str] = field(default_factory=list)

    def tests(self, lines: Iterable[Line]) -> set[str]:
        """The tests that run one of these lines."""
        return set().union(*(self.lines.get(line, set()) for line in lines))

    def add(self, part: "Coverage") -> None:
        """Join the coverage of other tests."""
        self.seconds |= part.seconds
        self.failing += part.failing
        self.untraced += part.untraced
        for line, tests in part.lines.items():
            self.lines.setdefault(line, set()).update(tests)

    def of_file(self, file: str) -> "Coverage":
        """The part that belongs to a file of tests."""
        own = {name for name in self.seconds if _file(name) == file}
        return Coverage(
            {name: took for name, took in self.seconds.items() if name in own},
            {line: tests & own for line, tests in self.lines.items() if tests & own},
            [name for name in self.failing if name in own],
            [name for name in self.untraced if name in own],
        )

    def to_json(self) -> dict[str, Any]:
        """The JSON object that `from_json` reads; lines have places in `seconds` for ids."""
        place = {name: i for i, name in enumerate(self.seconds)}
        lines: dict[str, dict[str, list[int]]] = {}
        for (path, line), tests in sorted(self.lines.items()):
            lines.setdefault(path, {})[str(line)] = sorted(place[name] for name in tests)
        return {**asdict(self), "lines": lines}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Coverage":
        names = list(document["seconds"])
        lines = {
            (path, int(line)): {names[i] for i in tests}
            for path, by_line in document["lines"].items()
            for line, tests in by_line.items()
        }
        return cls(**{**document, "lines": lines})


def recorded(copy: Copy, folders: Sequence[str], store: Path, tests: Sequence[str]) -> Coverage:
    """The coverage of files of tests: from `store`, or by a run of those that are not there.

    Args:
        copy: an unmutated copy.
        folders: of the sources whose lines are noted.
        store: a JSON file; it forgets a file of tests that has changed, and everything when
            anything but files of tests has. It is written after every few files.
        tests: the files.
    """
    sources = _fingerprint(copy, [path for path in copy.paths if path not in copy.tests()])
    hashes = {file: _fingerprint(copy, [file]) for file in tests}
    kept = json.loads(store.read_text()) if store.exists() else {}
    known = kept.get("files", {}) if kept.get("sources") == sources else {}
    missing = [file for file in tests if known.get(file, {}).get("hash") != hashes[file]]
    while missing:
        group, missing = missing[:FILES_AT_ONCE], missing[FILES_AT_ONCE:]
        part = _record(copy, group, folders)
        for file in group:
            known[file] = {"hash": hashes[file], **part.of_file(file).to_json()}
        store.write_text(json.dumps({"sources": sources, "files": known}))
    coverage = Coverage()
    for file in tests:
        coverage.add(Coverage.from_json({k: v for k, v in known[file].items() if k != "hash"}))
    return coverage


def _fingerprint(copy: Copy, paths: Sequence[str]) -> str:
    """Of the code among these files."""
    digest = hashlib.sha256()
    for path in paths:
        if path.endswith((".py", ".h", ".inc", ".cpp", ".toml")):
            digest.update(f"{path}\n".encode() + (copy.tree / path).read_bytes())
    return digest.hexdigest()


def _record(copy: Copy, tests: Sequence[str], folders: Sequence[str]) -> Coverage:
    sources = [str(copy.tree / folder) for folder in folders]
    for _ in range(2):  # a machine may have slept
        with tempfile.TemporaryDirectory() as place:
            outcome = copy.pytest(tests, stop=False, lines=Path(place), sources=sources)
            notes = [json.loads(path.read_text()) for path in Path(place).glob("*.json")]
        if outcome.kind in ("passed", "failed", "error"):
            break
    else:
        raise RuntimeError(f"{tests}: {outcome.kind}, {outcome.test} {outcome.why}")
    shared = {event["fixture"]: event["seconds"] for event in outcome.fixtures}
    coverage, users = Coverage(), {}
    for event in outcome.ended:
        fixtures = sum(shared.get(name, 0.0) for name in event["wide"])
        coverage.seconds[event["end"]] = event["seconds"] + fixtures
        for context in (event["end"], *event["wide"]):
            users.setdefault(context, set()).add(event["end"])
    bad = [event["end"] for event in outcome.ended if event["outcome"] in ("failed", "error")]
    if bad:
        again = copy.pytest(tests, order=bad, seconds=coverage.seconds, stop=False)
        passed = {event["end"] for event in again.ended if event["outcome"] == "passed"}
        coverage.untraced = [name for name in bad if name in passed]
        coverage.failing = [name for name in bad if name not in passed]
    for context, path, number in _flat(notes):
        line = str(Path(path).relative_to(copy.tree.resolve())), number
        coverage.lines.setdefault(line, set()).update(users.get(context, ()))
    return coverage


def _flat(notes: Iterable[Mapping[str, Mapping[str, list[int]]]]) -> Iterator[tuple[str, str, int]]:
    """(context, path, line) of the notes of processes."""
    for note in notes:
        for context, lines in note.items():
            for path, numbers in lines.items():
                for number in numbers:
                    yield context, path, number


def stages(
    coverage: Coverage, sources: Mapping[str, str], path: str, line: int
) -> tuple[list[list[str]], list[str]]:
    """The tests to try on a mutant of a line.

    Returns:
        the tests that run the line, in stages: the quick ones of the files that are the nearest to
        it, then the others; and all other tests of the suite, those that run anything of the file
        first. In a stage the files come by nearness and by time; in a file the quick tests come
        first, and one example of each test before the second of any.
    """
    usable = set(coverage.seconds) - set(coverage.failing)
    covering = coverage.tests(noticing(sources, path, line)) & usable
    ordered = _ordered(coverage, covering, path)
    near = list(dict.fromkeys(_file(name) for name in ordered))[:FILES_NEAR]
    first = [name for name in ordered if _file(name) in near and coverage.seconds[name] <= QUICK]
    second = [name for name in ordered if name not in set(first)]
    whole = [(path, number) for number in range(1, sources[path].count("\n") + 2)]
    touching = (coverage.tests(whole) & usable) - covering
    others = usable - covering - touching
    rest = _ordered(coverage, touching, path) + _ordered(coverage, others, path)
    return [stage for stage in (first, second) if stage], rest


def noticing(sources: Mapping[str, str], path: str, line: int) -> list[Line]:
    """The lines whose tests may notice a change of a line.

    In a function: the lines of its statement. In the head of a function: those of its body. Outside
    of functions: the statement, and all statements in functions that use a name which it assigns;
    without any, all functions of the file.
    """
    tree = ast.parse(sources[path])
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    around = [node for node in statements if line in _span(node)]
    inner = max(around, key=lambda node: (_span(node).start, -_span(node).stop), default=None)
    functions = [node for node in around if _is_function(node)]
    if inner is None:
        return [(path, line)]
    if _is_function(inner):
        return [(path, number) for number in range(inner.body[0].lineno, inner.end_lineno + 1)]
    own = [(path, number) for number in _head(inner)]
    if functions:
        return own
    names = {
        getattr(node, "id", getattr(node, "attr", None))
        for node in ast.walk(inner)
        if isinstance(getattr(node, "ctx", None), ast.Store)
    }
    users = [
        (other, number)
        for other, source in sources.items()
        for node in _bodies(ast.parse(source))
        if names & _used(node)
        for number in _head(node)
    ]
    return own + (users or [(path, n) for node in _bodies(tree) for n in _head(node)])


def _ordered(coverage: Coverage, tests: Iterable[str], path: str) -> list[str]:
    by_file: dict[str, list[str]] = {}
    for name in sorted(tests, key=lambda name: (coverage.seconds[name], name)):
        by_file.setdefault(_file(name), []).append(name)

    def rank(file: str) -> tuple[int, float, str]:
        return _distance(file, path), sum(coverage.seconds[n] for n in by_file[file]), file

    result: list[str] = []
    for file in sorted(by_file, key=rank):
        seen: dict[str, int] = {}
        place: dict[str, tuple[bool, int]] = {}
        for name in by_file[file]:
            function = name.partition("[")[0]
            seen[function] = seen.get(function, 0) + 1
            place[name] = (coverage.seconds[name] > QUICK, seen[function])
        result += sorted(by_file[file], key=place.__getitem__)
    return result


def _distance(test: str, path: str) -> int:
    """0 for the file of tests of a source, 1 for one of its folder, 2 for another."""
    folders, stem = Path(path).parts[1:-1], Path(path).stem
    own = Path(test)
    if own.stem == f"test_{stem}" and own.parts[1:-1] in (folders, ()):
        return 0
    near = folders and (own.parts[1:-1] == folders or own.stem == f"test_{folders[-1]}")
    command_line = path.startswith("cli/") and "cli" in test
    return 1 if near or command_line else 2


def _file(name: str) -> str:
    return name.partition("::")[0]


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _span(node: ast.stmt) -> range:
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    return range(first, node.end_lineno + 1)


def _head(node: ast.stmt) -> range:
    """The lines of a statement without the statements in it."""
    body = getattr(node, "body", None)
    return range(node.lineno, body[0].lineno if body else node.end_lineno + 1)


def _bodies(tree: ast.AST) -> list[ast.stmt]:
    """The statements in functions."""
    return [
        node
        for function in ast.walk(tree)
        if _is_function(function)
        for node in ast.walk(function)
        if isinstance(node, ast.stmt) and node is not function
    ]


def _used(node: ast.stmt) -> set[str]:
    """The names and attributes in a statement, those of the statements in it too."""
    return {
        getattr(part, "id", getattr(part, "attr", ""))
        for part in ast.walk(node)
        if isinstance(part, ast.Name | ast.Attribute)
    }
