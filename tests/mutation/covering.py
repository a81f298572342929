"""Which tests run a line, and the order in which they are tried on a mutant of it."""

import ast
import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from copies import OWN, Copy, files

QUICK = 1.0  # seconds
FILES_AT_ONCE = 4

Line = tuple[str, int]


@dataclass
class Coverage:
    """What the unmutated suite did.

    Attributes:
        seconds: of each test by id, with the fixtures that it shares with others.
        lines: the ids of the tests that ran a line, as places in `names`, by path and line.
        failing: tests that fail without a mutant; they are never run.
        untraced: tests that fail only while lines are noted; which lines they run is not known.
        fingerprint: of the files from which this was made.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    failing: list[str] = field(default_factory=list)
    untraced: list[str] = field(default_factory=list)
    fingerprint: str = ""

    @property
    def names(self) -> list[str]:
        return list(self.seconds)

    def tests(self, lines: Iterable[Line]) -> set[str]:
        """The tests that run one of these lines."""
        names = self.names
        found = {i for path, line in lines for i in self.lines.get(path, {}).get(str(line), ())}
        return {names[i] for i in found}


def fingerprint(root: Path) -> str:
    """Of all that the suite's outcome depends on: code and tests."""
    digest = hashlib.sha256()
    for path in files(root):
        if path.endswith((".py", ".h", ".cpp", ".toml")) and not path.startswith(f"{OWN}/"):
            digest.update(f"{path}\n".encode() + (root / path).read_bytes())
    return digest.hexdigest()


def recorded(copy: Copy, folders: Sequence[str], root: Path, store: Path) -> Coverage:
    """The coverage of a project, from `store` if it is of these files, else by a run of the suite.

    Args:
        copy: an unmutated copy.
        folders: of the sources whose lines are noted.
        root: the project.
        store: a JSON file.
    """
    now = fingerprint(root)
    if store.exists():
        kept = Coverage(**json.loads(store.read_text()))
        if kept.fingerprint == now:
            return kept
    coverage = _record(copy, folders)
    coverage.fingerprint = now
    store.write_text(json.dumps(asdict(coverage)))
    return coverage


def _record(copy: Copy, folders: Sequence[str]) -> Coverage:
    with tempfile.TemporaryDirectory() as place:
        sources = [str(copy.tree / folder) for folder in folders]
        outcome = copy.pytest(copy.tests(), stop=False, lines=Path(place), sources=sources)
        notes = [json.loads(path.read_text()) for path in Path(place).glob("*.json")]
    if not outcome.ended or outcome.kind in ("import", "crash", "timeout"):
        raise RuntimeError(f"the suite does not run: {outcome.kind}, {outcome.test} {outcome.why}")
    shared = {event["fixture"]: event["seconds"] for event in outcome.fixtures}
    wide = {event["end"]: event["wide"] for event in outcome.ended}
    coverage = Coverage()
    for event in outcome.ended:
        fixtures = sum(shared.get(name, 0.0) for name in event["wide"])
        coverage.seconds[event["end"]] = event["seconds"] + fixtures
    bad = [event["end"] for event in outcome.ended if event["outcome"] in ("failed", "error")]
    if bad:
        paths = sorted({name.partition("::")[0] for name in bad})
        again = copy.pytest(paths, order=bad, seconds=coverage.seconds, stop=False)
        passed = {event["end"] for event in again.ended if event["outcome"] == "passed"}
        coverage.untraced = [name for name in bad if name in passed]
        coverage.failing = [name for name in bad if name not in passed]
    users: dict[str, list[int]] = {}
    for i, name in enumerate(coverage.seconds):
        for context in (name, *wide[name]):
            users.setdefault(context, []).append(i)
    found: dict[str, dict[str, set[int]]] = {}
    for note in notes:
        for context, lines in note.items():
            for path, numbers in lines.items():
                by_line = found.setdefault(str(Path(path).relative_to(copy.tree.resolve())), {})
                for number in numbers:
                    by_line.setdefault(str(number), set()).update(users.get(context, ()))
    coverage.lines = {
        path: {line: sorted(tests) for line, tests in by_line.items()}
        for path, by_line in found.items()
    }
    return coverage


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
    near = list(dict.fromkeys(_file(name) for name in ordered))[:FILES_AT_ONCE]
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
