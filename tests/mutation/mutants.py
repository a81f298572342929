"""Single-line mutants of Python code, by stated operators.

An operator looks at one node of the syntax tree and gives edits: each replaces a part of one line,
and the file still compiles. The operators are the functions of `OPERATORS`:

    compare      < and <=, > and >=, == and !=, is and is not, in and not in change places
    arithmetic   + and -, * and /, << and >>, & and | change places; // becomes /, % and ** become
                 *, ^ becomes &; the same in augmented assignments
    boolean      and, or change places
    unary        -x, ~x and not x become x
    condition    that of an if, a conditional expression or a comprehension is negated
    number       an integer n becomes n + 1, but 1 becomes 0; a float x becomes 2x, 0.0 becomes 1.0
    truth        True and False change places
    text         a string gets one character more
    statement    a call, a raise, an augmented assignment, an assignment to an attribute or to an
                 item, a del, a break or a continue is left out
    value        return x becomes return None
    swap         the first two positional arguments of a call change places
    keyword      a keyword argument of a call is left out
    bound        a bound of a slice is left out
    function     a function is replaced by its counterpart in `COUNTERPARTS`, such as min by max

Left alone: docstrings, annotations, `__all__`, what stands under `if TYPE_CHECKING`, whatever is in
a raise statement or in an f-string, strings with white space in them (they are prose: messages and
help), the arguments `help`, `metavar` and `show_default`, names of type variables. Mutants with the
bytecode of the original are no mutants. Others that mean the same are not sorted out.
"""

import ast
import io
import random
import tokenize
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType

COMPARE = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
ARITHMETIC = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "&"),
}
_PAIRS = (
    "min max, any all, amin amax, minimum maximum, argmin argmax, floor ceil, sin cos, exp expm1, "
    "log log1p, sum mean, zeros ones, zeros_like ones_like, new_zeros new_ones, "
    "startswith endswith, lower upper, partition rpartition, square sqrt"
)
COUNTERPARTS = {
    name: other
    for pair in _PAIRS.split(", ")
    for name, other in (pair.split(), reversed(pair.split()))
}
SYMMETRIC = {"min", "max", "minimum", "maximum", "isclose", "gcd"}
PROSE = {"help", "metavar", "show_default"}
TYPES = {"TypeVar", "ParamSpec", "NewType", "cast", "Literal"}


@dataclass(frozen=True)
class Mutant:
    """An edit of one line.

    Attributes:
        operator: its name in `OPERATORS`, or "named".
        line: from 1; start, end: the columns that are replaced, from 0, in characters.
        new: what they are replaced by.
    """

    operator: str
    line: int
    start: int
    end: int
    new: str

    def apply(self, source: str) -> str:
        """The mutated source."""
        lines = source.splitlines(keepends=True)
        text = lines[self.line - 1]
        lines[self.line - 1] = text[: self.start] + self.new + text[self.end :]
        return "".join(lines)


Edit = tuple[int, int, int, str]  # line, start, end, new


class Text:
    """A source text with its tokens, to find what the syntax tree has no place for."""

    def __init__(self, source: str) -> None:
        self.lines = source.splitlines(keepends=True)
        self.tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))

    def span(self, node: ast.AST) -> tuple[int, int, int] | None:
        """Line, start and end of a node in characters; None if it has more than one line."""
        if node.lineno != node.end_lineno:
            return None
        line = self.lines[node.lineno - 1].encode()
        start, end = (len(line[:at].decode()) for at in (node.col_offset, node.end_col_offset))
        return node.lineno, start, end

    def of(self, node: ast.AST) -> str:
        """The text of a node of one line."""
        line, start, end = self.span(node)
        return self.lines[line - 1][start:end]

    def replaced(self, node: ast.AST, new: str) -> Iterator[Edit]:
        """The edit that replaces a node, if it has one line."""
        span = self.span(node)
        if span is not None:
            yield (*span, new)

    def between(self, left: ast.AST, right: ast.AST, old: str, new: str) -> Iterator[Edit]:
        """The edit that replaces the operator `old` between two nodes, if it has one line."""
        words = old.split()
        line = self.lines[left.end_lineno - 1].encode()
        first = (left.end_lineno, len(line[: left.end_col_offset].decode()))
        line = self.lines[right.lineno - 1].encode()
        last = (right.lineno, len(line[: right.col_offset].decode()))
        within = [t for t in self.tokens if first <= t.start and t.end <= last]
        for i, token in enumerate(within):
            found = within[i : i + len(words)]
            if [t.string for t in found] == words and token.start[0] == found[-1].end[0]:
                yield token.start[0], token.start[1], found[-1].end[1], new
                return


def compare(node: ast.AST, text: Text) -> Iterator[Edit]:
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        for left, operator, right in zip(sides, node.ops, sides[1:], strict=False):
            yield from text.between(left, right, *COMPARE[type(operator)])


def arithmetic(node: ast.AST, text: Text) -> Iterator[Edit]:
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        yield from text.between(node.left, node.right, *ARITHMETIC[type(node.op)])
    if isinstance(node, ast.AugAssign) and type(node.op) in ARITHMETIC:
        old, new = (f"{sign}=" for sign in ARITHMETIC[type(node.op)])
        yield from text.between(node.target, node.value, old, new)


def boolean(node: ast.AST, text: Text) -> Iterator[Edit]:
    if isinstance(node, ast.BoolOp):
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            yield from text.between(left, right, old, new)


def unary(node: ast.AST, text: Text) -> Iterator[Edit]:
    if isinstance(node, ast.UnaryOp) and text.span(node) is not None:
        yield from text.replaced(node, f"({text.of(node.operand)})")


def condition(node: ast.AST, text: Text) -> Iterator[Edit]:
    tests = [node.test] if isinstance(node, ast.If | ast.IfExp) else []
    tests += node.ifs if isinstance(node, ast.comprehension) else []
    for test in tests:
        if text.span(test) is not None:
            yield from text.replaced(test, f"(not ({text.of(test)}))")


def number(node: ast.AST, text: Text) -> Iterator[Edit]:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        value = node.value
        if type(value) is int:
            new = 0 if value == 1 else value + 1
        else:
            new = 2 * value if value else 1.0
        yield from text.replaced(node, repr(new))


def truth(node: ast.AST, text: Text) -> Iterator[Edit]:
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        yield from text.replaced(node, repr(not node.value))


def words(node: ast.AST, text: Text) -> Iterator[Edit]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        prose = any(character.isspace() for character in node.value)
        if not prose:
            yield from text.replaced(node, repr(f"{node.value}_"))


def statement(node: ast.AST, text: Text) -> Iterator[Edit]:
    call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    places = ast.Attribute | ast.Subscript
    stored = isinstance(node, ast.Assign) and all(isinstance(t, places) for t in node.targets)
    plain = ast.AugAssign | ast.Delete | ast.Break | ast.Continue | ast.Raise
    if (call or stored or isinstance(node, plain)) and text.span(node) is not None:
        yield from text.replaced(node, "pass")
    elif isinstance(node, ast.Raise) and node.cause is None:
        # A raise of several lines: the exception is made and goes nowhere.
        start = len(text.lines[node.lineno - 1].encode()[: node.col_offset].decode())
        yield node.lineno, start, start + len("raise "), ""


def value(node: ast.AST, text: Text) -> Iterator[Edit]:
    if isinstance(node, ast.Return) and node.value is not None:
        yield from text.replaced(node, "return None")


def swap(node: ast.AST, text: Text) -> Iterator[Edit]:
    if not isinstance(node, ast.Call) or len(node.args) < 2 or _called(node) in SYMMETRIC:
        return
    first, second = node.args[:2]
    spans = [text.span(argument) for argument in (first, second)]
    starred = any(isinstance(argument, ast.Starred) for argument in (first, second))
    if starred or None in spans or spans[0][0] != spans[1][0]:
        return
    (line, start, middle), (_, second_start, end) = spans
    comma = text.lines[line - 1][middle:second_start]
    if comma.strip() == "," and text.of(first) != text.of(second):
        yield line, start, end, f"{text.of(second)}{comma}{text.of(first)}"


def keyword(node: ast.AST, text: Text) -> Iterator[Edit]:
    if isinstance(node, ast.Call):
        for argument in node.keywords:
            if argument.arg is not None and argument.arg not in PROSE:
                yield from text.replaced(argument, "**{}")


def bound(node: ast.AST, text: Text) -> Iterator[Edit]:
    if isinstance(node, ast.Slice):
        for end in (node.lower, node.upper, node.step):
            if end is not None:
                yield from text.replaced(end, "None")


def function(node: ast.AST, text: Text) -> Iterator[Edit]:
    if isinstance(node, ast.Call) and _called(node) in COUNTERPARTS:
        name = _called(node)
        for line, start, end, _ in text.replaced(node.func, ""):
            yield line, max(start, end - len(name)), end, COUNTERPARTS[name]


OPERATORS: dict[str, Callable[[ast.AST, Text], Iterator[Edit]]] = {
    "compare": compare,
    "arithmetic": arithmetic,
    "boolean": boolean,
    "unary": unary,
    "condition": condition,
    "number": number,
    "truth": truth,
    "text": words,
    "statement": statement,
    "value": value,
    "swap": swap,
    "keyword": keyword,
    "bound": bound,
    "function": function,
}


def mutants(source: str) -> list[Mutant]:
    """All mutants of a source, by line and column; those of equal bytecode among them."""
    text = Text(source)
    found = {
        Mutant(name, *edit)
        for node in _nodes(ast.parse(source))
        for name, operator in OPERATORS.items()
        for edit in operator(node, text)
    }
    return sorted(found, key=lambda m: (m.line, m.start, m.end, m.operator, m.new))


def is_real(source: str, mutant: Mutant) -> bool:
    """Whether the mutated source compiles, to other bytecode."""
    try:
        changed = compile(mutant.apply(source), "mutated", "exec")
    except SyntaxError:
        return False
    return _meaning(changed) != _meaning(compile(source, "mutated", "exec"))


def draw(sources: Mapping[str, str], count: int, seed: int) -> list[tuple[str, Mutant]]:
    """Mutants of a set of files, one a line at most: a line at random, then a mutant of it.

    Args:
        sources: text by path.
        count: how many; fewer if there are fewer lines.
        seed: the same seed gives the same mutants of the same sources.

    Returns:
        (path, mutant), in the order in which they were drawn.
    """
    lines: dict[tuple[str, int], list[Mutant]] = {}
    for path in sorted(sources):
        for mutant in mutants(sources[path]):
            lines.setdefault((path, mutant.line), []).append(mutant)
    generator = random.Random(seed)
    order = sorted(lines)
    generator.shuffle(order)
    drawn: list[tuple[str, Mutant]] = []
    for path, line in order:
        if len(drawn) == count:
            break
        candidates = lines[path, line]
        generator.shuffle(candidates)
        real = (m for m in candidates if is_real(sources[path], m))
        drawn += [(path, mutant) for mutant in [next(real, None)] if mutant is not None]
    return drawn


def named(source: str, old: str, new: str, after: str = "") -> Mutant:
    """The mutant that replaces the one place of `old` that follows the one place of `after`.

    Raises:
        ValueError: there is no such place, or more than one, or it has more than one line.
    """
    if source.count(after) != 1 and after:
        raise ValueError(f"{after!r} is there {source.count(after)} times; allowed: once")
    begin = source.index(after) + len(after)
    at = source.find(old, begin)
    again = source.count(old) if not after else 1
    if at < 0 or again != 1 or "\n" in old + new:
        raise ValueError(f"{old!r} is not the text of one place in one line")
    line = source.count("\n", 0, at) + 1
    start = at - (source.rfind("\n", 0, at) + 1)
    return Mutant("named", line, start, start + len(old), new)


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that operators may look at."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [child for child in _children(node) if not _is_left_alone(child)]


def _children(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Raise):
        return
    for name, field in ast.iter_fields(node):
        if name in ("annotation", "returns", "format_spec"):
            continue
        for child in field if isinstance(field, list) else [field]:
            if isinstance(child, ast.AST):
                yield child


def _is_left_alone(node: ast.AST) -> bool:
    prose = isinstance(node, ast.keyword) and node.arg in PROSE
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    exports = isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
    )
    typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    types = isinstance(node, ast.Call) and _called(node) in TYPES
    types |= isinstance(node, ast.Subscript) and getattr(node.value, "id", None) in TYPES
    return prose or docstring or exports or typing or types or isinstance(node, ast.JoinedStr)


def _called(node: ast.Call) -> str:
    return getattr(node.func, "id", getattr(node.func, "attr", ""))


def _meaning(code: CodeType) -> tuple[object, ...]:
    """What a code object does, without its places in the source."""
    constants = tuple(
        _meaning(c) if isinstance(c, CodeType) else (type(c), repr(c)) for c in code.co_consts
    )
    return (code.co_code, constants, code.co_names, code.co_varnames, code.co_exceptiontable)
