"""PTX, as nvcc makes it of csrc/cuda, to C++ that the emulator runs: a function an entry.

The subset that these kernels use; anything else raises. fma stays fused, mul and add are rounded
one by one. ptxas may fuse those that nvcc left apart, so a GPU can differ in a last digit.
"""

import re
import subprocess
from collections.abc import Callable

from .costs import issue_slots

TYPES = {
    "pred": "bool",
    **{f"{k}8": t for k, t in (("b", "uint8_t"), ("u", "uint8_t"), ("s", "int8_t"))},
    **{f"{k}{n}": f"uint{n}_t" for k in "bu" for n in (16, 32, 64)},
    **{f"s{n}": f"int{n}_t" for n in (16, 32, 64)},
    "f32": "float",
    "f64": "double",
}
SPECIAL = {
    f"%{name}.{axis}": f"{value}.{axis}"
    for name, value in (
        ("tid", "threadIdx"),
        ("ntid", "blockDim"),
        ("ctaid", "blockIdx"),
        ("nctaid", "gridDim"),
    )
    for axis in "xyz"
} | {"%laneid": "::emulator::current->lane"}
COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="} | {
    "lo": "<",
    "ls": "<=",
    "hi": ">",
    "hs": ">=",
}
OPPOSITE = {"eq": "!=", "ne": "==", "lt": ">=", "le": ">", "gt": "<=", "ge": "<"}
ULPS = {"rcp": 1, "sqrt": 1, "div": 2, "rsqrt": 1, "ex2": 2, "lg2": 2}  # of .approx and .full
NOT_IN_KEYS = ("hvae", "anonymous", "namespace", "portable", "Layout", "Quantity", "l", "ul", "u")
ARITHMETIC = ("add", "sub", "mul", "fma", "div", "sqrt", "rcp")


def identifier(operand: str) -> str:
    """A register or a label as a name of C++."""
    return operand.replace("%", "r_").replace("$", "L_")


def operands(text: str) -> list[str]:
    """Split at commas outside brackets and braces."""
    return [x.strip() for x in re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s{\[][^,]*", text)]


def members(vector: str) -> list[str]:
    """Of "{%f1, %f2}"; a single operand is its own member."""
    return [x.strip() for x in vector.strip("{}").split(",")]


def literal(operand: str, type_: str) -> str:
    """A number of PTX as one of C++."""
    if m := re.fullmatch(r"0f([0-9A-Fa-f]{8})", operand):
        return f"ptx_bits<float>(uint32_t(0x{m[1]}u))"
    if m := re.fullmatch(r"0d([0-9A-Fa-f]{16})", operand):
        return f"ptx_bits<double>(uint64_t(0x{m[1]}ull))"
    if operand == "-9223372036854775808":
        return f"{type_}(0x8000000000000000ull)"
    if re.fullmatch(r"-?\d+", operand):
        return f"{type_}({operand}ll)"
    if operand in ("true", "false"):
        return operand
    raise ValueError(f"PTX operand: {operand}")


class Entry:
    """One kernel.

    Args:
        parameters: names of its parameters.
        body: its lines.
        symbols: names of the module's constant arrays in C++.
        counted: whether basic blocks count their executions.
    """

    def __init__(
        self, parameters: list[str], body: list[str], symbols: dict[str, str], counted: bool
    ) -> None:
        self.parameters, self.symbols, self.counted = parameters, symbols, counted
        self.costs: list[float] = []  # of basic blocks
        self.memory: list[tuple[int, int]] = []  # loads and stores of global memory in them
        self.double_precision = 0
        self._kinds: dict[str, str] = {}  # register prefix -> kind
        self._counts: dict[str, int] = {}
        self._shared: dict[str, int] = {}  # name -> offset
        self._shared_bytes = 0
        self._block_begins = True
        self._lines = [self._line(text) for text in body]

    def code(self, function: str) -> str:
        """The kernel as a function of pointers to its parameters."""
        registers = "\n".join(
            f"  {TYPES[kind]} "
            + ", ".join(f"{identifier(prefix)}{i}{{}}" for i in range(self._counts[prefix]))
            + ";"
            for prefix, kind in self._kinds.items()
            if self._counts[prefix]
        )
        counter = "  uint32_t* const count = current->counts;\n" if self.counted else ""
        body = "\n".join("  " + line for line in self._lines if line)
        head = f"static void {function}(const unsigned char* const* P) {{\n  (void)P;\n"
        return f"{head}{counter}{registers}\n{body}\n}}\n"

    def _line(self, text: str) -> str:
        if m := re.fullmatch(r"\.reg \.(\w+)\s+(%[a-z]+)<(\d+)>;", text):
            self._kinds[m[2]], self._counts[m[2]] = m[1], int(m[3])
            return ""
        if m := re.fullmatch(r"\.shared \.align (\d+) \.b8 (\S+?)\[(\d+)\];", text):
            align = int(m[1])
            self._shared[m[2]] = -(-self._shared_bytes // align) * align
            self._shared_bytes = self._shared[m[2]] + int(m[3])
            return ""
        if m := re.fullmatch(r"(\$?[\w$]+):", text):
            self._block_begins = True
            return f"{identifier(m[1])}:;"
        if not text or text.startswith((".pragma", ".loc", ".file", "//")):
            return ""
        guard = ""
        if m := re.match(r"@(!?)(%p\d+)\s+", text):
            guard, text = f"if ({m[1]}{identifier(m[2])}) ", text[m.end() :]
        m = re.fullmatch(r"([a-z][\w.]*)\s*(.*?);", text)
        if m is None:
            raise ValueError(f"PTX line: {text}")
        return self._counting(m[1]) + guard + "{ " + self._instruction(m[1], m[2]) + " }"

    def _counting(self, opcode: str) -> str:
        """Charges the instruction to its basic block; what counts the block, where one begins."""
        begin = ""
        if self._block_begins:
            begin = f"++count[{len(self.costs)}]; " if self.counted else ""
            self.costs.append(0.0)
            self.memory.append((0, 0))
            self._block_begins = False
        self.costs[-1] += issue_slots(opcode)
        loads, stores = self.memory[-1]
        loads += opcode.startswith("ld.global")
        self.memory[-1] = (loads, stores + opcode.startswith("st.global"))
        op, *_, kind = [*opcode.split("."), opcode.rpartition(".")[2]]
        self.double_precision += kind == "f64" and op in ARITHMETIC
        if op in ("bra", "ret"):
            self._block_begins = True
        return begin

    def _kind(self, register: str) -> str:
        return self._kinds[re.match(r"%[a-z]+", register)[0]]

    def _value(self, operand: str, kind: str) -> str:
        """The operand as a value of a kind."""
        operand, type_ = operand.strip(), TYPES[kind]
        if operand in SPECIAL:
            return f"{type_}({SPECIAL[operand]})"
        if operand.startswith("!%"):
            return f"(!{identifier(operand[1:])})"
        if operand.startswith("%"):
            return self._register(operand, kind)
        for names in (self.parameters, self._shared, self.symbols):
            if operand in names:
                return f"{type_}({self._symbol(operand)})"
        return literal(operand, type_)

    def _register(self, operand: str, kind: str) -> str:
        held, type_ = self._kind(operand), TYPES[kind]
        if held in (kind, "pred") or held[0] == kind[0] == "f":
            return identifier(operand)
        if (held[0] == "f") != (kind[0] == "f"):
            return f"ptx_bits<{type_}>({identifier(operand)})"
        return f"{type_}({identifier(operand)})"

    def _symbol(self, operand: str) -> str:
        """The address of a parameter or an array; in shared memory the offset."""
        if operand in self._shared:
            return str(self._shared[operand])
        if operand in self.parameters:
            return f"reinterpret_cast<uintptr_t>(P[{self.parameters.index(operand)}])"
        return f"reinterpret_cast<uintptr_t>({self.symbols[operand]})"

    def _address(self, operand: str, space: str, more: int, size: int) -> str:
        m = re.fullmatch(r"\[([^\]+]+?)(?:\+(-?\d+))?\]", operand.strip())
        offset = int(m[2] or 0) + more
        base = self._value(m[1], "u64")
        if space == "shared":
            return f"ptx_shared({base}, {offset}, {size})"
        return f"ptx_at({base}, {offset})"

    def _assign(self, register: str, kind: str, value: str) -> str:
        register = register.strip()
        if register == "_":
            return f"(void)({value});"
        held, name = self._kind(register), identifier(register)
        if held == "pred" or held[0] == kind[0] == "f":
            return f"{name} = {value};"
        if (held[0] == "f") != (kind[0] == "f"):
            return f"{name} = ptx_bits<{TYPES[held]}>({TYPES[kind]}({value}));"
        return f"{name} = {TYPES[held]}({TYPES[kind]}({value}));"

    def _instruction(self, opcode: str, rest: str) -> str:
        parts = opcode.split(".")
        o = operands(rest)
        method = getattr(self, f"_op_{parts[0]}", None)
        if method is not None:
            return method(parts, o)
        if opcode == "bar.warp.sync":
            return f"__syncwarp({self._value(o[0], 'u32')});"
        if parts[0] in ("bar", "barrier") and "sync" in parts:
            return "__syncthreads();"
        raise ValueError(f"PTX instruction: {opcode} {rest}")

    def _op_bra(self, parts: list[str], o: list[str]) -> str:
        return f"goto {identifier(o[0])};"

    def _op_ret(self, parts: list[str], o: list[str]) -> str:
        return "return;"

    def _op_ld(self, parts: list[str], o: list[str]) -> str:
        kind, size = parts[-1], int(parts[-1][1:]) // 8
        return " ".join(
            self._assign(
                register,
                kind,
                f"ptx_load<{TYPES[kind]}>({self._address(o[1], parts[1], i * size, size)})",
            )
            for i, register in enumerate(members(o[0]))
        )

    def _op_st(self, parts: list[str], o: list[str]) -> str:
        kind, size = parts[-1], int(parts[-1][1:]) // 8
        return " ".join(
            f"ptx_store<{TYPES[kind]}>({self._address(o[0], parts[1], i * size, size)}, "
            f"{self._value(value, kind)});"
            for i, value in enumerate(members(o[1]))
        )

    def _op_cvta(self, parts: list[str], o: list[str]) -> str:
        return self._assign(o[0], parts[-1], self._value(o[1], parts[-1]))

    def _op_mov(self, parts: list[str], o: list[str]) -> str:
        if o[1].startswith("{"):
            low, high = (self._value(x, "b32") for x in members(o[1]))
            return self._assign(o[0], "b64", f"uint64_t({low}) | uint64_t({high}) << 32")
        if o[0].startswith("{"):
            low, high = members(o[0])
            whole = self._value(o[1], "b64")
            return self._assign(low, "b32", f"uint32_t({whole})") + self._assign(
                high, "b32", f"uint32_t({whole} >> 32)"
            )
        return self._assign(o[0], parts[-1], self._value(o[1], parts[-1]))

    def _op_setp(self, parts: list[str], o: list[str]) -> str:
        relation, kind = parts[1], parts[-1]
        a, b = self._value(o[1], kind), self._value(o[2], kind)
        if relation == "nan":
            test = f"({a} != {a}) || ({b} != {b})"
        elif relation == "num":
            test = f"({a} == {a}) && ({b} == {b})"
        elif kind[0] == "f" and relation == "equ":
            test = f"!(({a} < {b}) || ({a} > {b}))"
        elif kind[0] == "f" and relation[-1] == "u" and len(relation) == 3:  # true if unordered
            test = f"!({a} {OPPOSITE[relation[:2]]} {b})"
        elif kind[0] == "f" and relation == "ne":  # false if unordered
            test = f"({a} < {b}) || ({a} > {b})"
        else:
            test = f"{a} {COMPARE[relation]} {b}"
        return self._assign(o[0], "pred", test)

    def _op_selp(self, parts: list[str], o: list[str]) -> str:
        kind = parts[-1]
        yes, no = self._value(o[1], kind), self._value(o[2], kind)
        return self._assign(o[0], kind, f"{self._value(o[3], 'pred')} ? {yes} : {no}")

    def _op_not(self, parts: list[str], o: list[str]) -> str:
        sign = "!" if parts[-1] == "pred" else "~"
        return self._assign(o[0], parts[-1], sign + self._value(o[1], parts[-1]))

    def _logic(self, parts: list[str], o: list[str]) -> str:
        kind = parts[-1]
        signs = {"and": "&&", "or": "||", "xor": "!="}
        if kind != "pred":
            signs = {"and": "&", "or": "|", "xor": "^"}
        a, b = self._value(o[1], kind), self._value(o[2], kind)
        return self._assign(o[0], kind, f"{a} {signs[parts[0]]} {b}")

    _op_and = _op_or = _op_xor = _logic

    def _op_shl(self, parts: list[str], o: list[str]) -> str:
        kind = "u" + parts[-1][1:]
        a, b = self._value(o[1], kind), self._value(o[2], "u32")
        return self._assign(o[0], kind, f"ptx_shl<{TYPES[kind]}>({a}, {b})")

    def _op_shr(self, parts: list[str], o: list[str]) -> str:
        kind = parts[-1] if parts[-1][0] == "s" else "u" + parts[-1][1:]
        a, b = self._value(o[1], kind), self._value(o[2], "u32")
        return self._assign(o[0], kind, f"ptx_shr<{TYPES[kind]}>({a}, {b})")

    def _op_shf(self, parts: list[str], o: list[str]) -> str:
        if parts[1:3] != ["l", "wrap"]:
            raise ValueError(f"PTX instruction: {'.'.join(parts)}")
        values = ", ".join(self._value(x, "u32") for x in o[1:])
        return self._assign(o[0], "u32", f"ptx_funnel_left({values})")

    def _sum(self, parts: list[str], o: list[str]) -> str:
        kind = parts[-1] if parts[-1][0] == "f" else "u" + parts[-1][1:]
        sign = {"add": "+", "sub": "-"}[parts[0]]
        a, b = self._value(o[1], kind), self._value(o[2], kind)
        return self._assign(o[0], kind, f"{a} {sign} {b}")

    _op_add = _op_sub = _sum

    def _product(self, parts: list[str], o: list[str]) -> str:
        kind = parts[-1]
        if kind[0] == "f":
            value = f"{self._value(o[1], kind)} * {self._value(o[2], kind)}"
            return self._assign(o[0], kind, value)
        if "hi" in parts:
            wide = "unsigned __int128" if kind[0] == "u" else "__int128"
            a, b = self._value(o[1], kind), self._value(o[2], kind)
            return self._assign(o[0], kind, f"({wide}({a}) * {b}) >> {kind[1:]}")
        if "wide" in parts:
            result = kind[0] + str(2 * int(kind[1:]))
        else:
            result = kind = "u" + kind[1:]
        a, b = self._value(o[1], kind), self._value(o[2], kind)
        extra = f" + {self._value(o[3], result)}" if parts[0] == "mad" else ""
        type_ = TYPES[result]
        return self._assign(o[0], result, f"{type_}({a}) * {type_}({b}){extra}")

    _op_mul = _op_mad = _product

    def _op_fma(self, parts: list[str], o: list[str]) -> str:
        kind = parts[-1]
        if parts[1] != "rn":
            raise ValueError(f"PTX instruction: {'.'.join(parts)}")
        function = "__builtin_fmaf" if kind == "f32" else "__builtin_fma"
        values = ", ".join(self._value(x, kind) for x in o[1:])
        return self._assign(o[0], kind, f"{function}({values})")

    def _rounded(self, parts: list[str], register: str, value: str) -> str:
        if parts[-1] == "f32" and ("approx" in parts or "full" in parts):
            value = f"ptx_inexact(float({value}), {ULPS[parts[0]]})"
        return self._assign(register, parts[-1], value)

    def _op_div(self, parts: list[str], o: list[str]) -> str:
        kind = parts[-1]
        a, b = self._value(o[1], kind), self._value(o[2], kind)
        return self._rounded(parts, o[0], f"ptx_div<{TYPES[kind]}>({a}, {b})")

    def _op_rem(self, parts: list[str], o: list[str]) -> str:
        kind = parts[-1]
        a, b = self._value(o[1], kind), self._value(o[2], kind)
        return self._assign(o[0], kind, f"ptx_rem<{TYPES[kind]}>({a}, {b})")

    def _function(self, parts: list[str], o: list[str]) -> str:
        type_, x = TYPES[parts[-1]], self._value(o[1], parts[-1])
        value = {
            "rcp": f"{type_}(1) / {x}",
            "sqrt": f"std::sqrt({x})",
            "rsqrt": f"{type_}(1) / std::sqrt({x})",
            "ex2": f"std::exp2({x})",
            "lg2": f"std::log2({x})",
        }[parts[0]]
        return self._rounded(parts, o[0], value)

    _op_rcp = _op_sqrt = _op_rsqrt = _op_ex2 = _op_lg2 = _function

    def _extreme(self, parts: list[str], o: list[str]) -> str:
        kind = parts[-1]
        a, b = self._value(o[1], kind), self._value(o[2], kind)
        return self._assign(o[0], kind, f"ptx_{parts[0]}<{TYPES[kind]}>({a}, {b})")

    _op_min = _op_max = _extreme

    def _op_neg(self, parts: list[str], o: list[str]) -> str:
        return self._assign(o[0], parts[-1], f"-{self._value(o[1], parts[-1])}")

    def _op_abs(self, parts: list[str], o: list[str]) -> str:
        function = "std::fabs" if parts[-1][0] == "f" else "std::abs"
        return self._assign(o[0], parts[-1], f"{function}({self._value(o[1], parts[-1])})")

    def _op_cvt(self, parts: list[str], o: list[str]) -> str:
        to, source = parts[-2:]
        value = self._value(o[1], source)
        rounding = parts[1] if len(parts) == 4 else ""
        if rounding in ("rzi", "rni"):
            value = f"std::{'trunc' if rounding == 'rzi' else 'nearbyint'}({value})"
        elif rounding not in ("", "rn"):
            raise ValueError(f"PTX instruction: {'.'.join(parts)}")
        return self._assign(o[0], to, f"{TYPES[to]}({value})")

    def _op_brev(self, parts: list[str], o: list[str]) -> str:
        return self._assign(o[0], "b32", f"ptx_reverse({self._value(o[1], 'b32')})")

    def _op_bfi(self, parts: list[str], o: list[str]) -> str:
        kind = "u" + parts[-1][1:]
        a, b, *place = (self._value(x, kind) for x in o[1:])
        return self._assign(o[0], kind, f"ptx_insert<{TYPES[kind]}>({a}, {b}, {', '.join(place)})")

    def _op_bfe(self, parts: list[str], o: list[str]) -> str:
        kind = parts[-1]
        if kind[0] != "u":
            raise ValueError(f"PTX instruction: {'.'.join(parts)}")
        values = ", ".join(self._value(x, kind) for x in o[1:])
        return self._assign(o[0], kind, f"ptx_extract<{TYPES[kind]}>({values})")

    def _op_bfind(self, parts: list[str], o: list[str]) -> str:
        if parts[1] != "shiftamt":
            raise ValueError(f"PTX instruction: {'.'.join(parts)}")
        return self._assign(o[0], "u32", f"ptx_shift_amount({self._value(o[1], 'u32')})")

    def _op_popc(self, parts: list[str], o: list[str]) -> str:
        return self._assign(o[0], "u32", f"__builtin_popcount({self._value(o[1], 'u32')})")

    def _op_clz(self, parts: list[str], o: list[str]) -> str:
        x = self._value(o[1], "u32")
        return self._assign(o[0], "u32", f"uint32_t({x} ? __builtin_clz({x}) : 32)")

    def _op_shfl(self, parts: list[str], o: list[str]) -> str:
        to, _, predicate = o[0].partition("|")
        mask, value, other, control = (self._value(o[i], "u32") for i in (4, 1, 2, 3))
        shuffled = f"ptx_shuffle('{parts[2][0]}', {mask}, {value}, {other}, {control})"
        done = f" {identifier(predicate)} = true;" if predicate else ""
        return self._assign(to, "b32", shuffled) + done

    def _op_vote(self, parts: list[str], o: list[str]) -> str:
        arguments = f"({self._value(o[2], 'u32')}, {self._value(o[1], 'pred')})"
        if parts[2] == "ballot":
            return self._assign(o[0], "b32", f"__ballot_sync{arguments}")
        return self._assign(o[0], "pred", f"__{parts[2]}_sync{arguments}")


def kernel_key(demangled: str) -> str:
    """ "sample_kernel 1 16 16 float" of a kernel's instantiation, as `launch_ptx.h` names it."""
    m = re.search(r"(\w+_kernel)<", demangled)
    depth, end = 1, m.end()
    while depth:
        depth += {"<": 1, ">": -1}.get(demangled[end], 0)
        end += 1
    words = re.findall(r"[A-Za-z_]\w*|\d+", demangled[m.end() : end])
    return " ".join([m[1], *(word for word in words if word not in NOT_IN_KEYS)])


def translate(text: str, counted: bool, wanted: Callable[[str], bool]) -> str:
    """C++ of a PTX module, which ends in `find_kernel(key)`.

    Args:
        text: the module.
        counted: whether basic blocks count their executions.
        wanted: by key, which kernels to translate; a launch of another one is an error.
    """
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    symbols: dict[str, str] = {}
    arrays = []
    pattern = (
        r"^\.(?:visible )?\.?(?:global|const) \.align (\d+) \.b8 (\S+?)\[(\d+)\](?: = \{(.*?)\})?;"
    )
    for m in re.finditer(pattern, text, re.M):
        symbols[m[2]] = name = f"array_{len(symbols)}"
        arrays.append(f"alignas({m[1]}) static unsigned char {name}[{m[3]}] = {{{m[4] or ''}}};")
    functions, table = [], []
    pattern = r"^\.(?:visible )?\.?entry (\S+?)\(\n(.*?)\n\)(.*?)\n\{\n(.*?)\n\}"
    entries = list(re.finditer(pattern, text, re.M | re.S))
    if not entries or len(entries) != text.count(".entry"):
        raise ValueError("PTX without entries, or with some that are not understood")
    names = subprocess.run(
        ["c++filt", *(m[1] for m in entries)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for m, name in zip(entries, names, strict=True):
        key = kernel_key(name)
        if not wanted(key):
            continue
        parameters = re.findall(r"(\S+_param_\d+)", m[2])
        body = [line.split("//")[0].strip() for line in m[4].splitlines()]
        entry = Entry(parameters, body, symbols, counted)
        function = f"ptx_{len(table)}"
        functions.append(entry.code(function))
        costs = ", ".join(f"{cost:.1f}f" for cost in entry.costs)
        loads = ", ".join(str(a) for a, _ in entry.memory)
        stores = ", ".join(str(b) for _, b in entry.memory)
        functions.append(
            f"static const float {function}_costs[] = {{{costs}}};\n"
            f"static const int {function}_loads[] = {{{loads}}}, "
            f"{function}_stores[] = {{{stores}}};\n"
        )
        table.append(
            f'  if (key == "{key}") return {{{function}, {len(entry.costs)}, {function}_costs, '
            f"{function}_loads, {function}_stores, {entry.double_precision}}};"
        )
    return "\n".join(
        [
            "namespace emulator {",
            *arrays,
            *functions,
            "static PtxKernel find_kernel(const std::string& key) {",
            *table,
            '  fail("no PTX of %s", key.c_str());',
            "}",
            "}",
        ]
    )
