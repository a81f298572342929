"""What PTX instructions cost on compute capability 9.0, in issue slots of a warp.

Estimates: the lengths of the sequences that ptxas makes of them, as seen in `cuobjdump --sass`.
Tables of throughput: CUDA C++ Programming Guide, "Arithmetic Instructions". A double counts twice,
since its instructions are issued at half the rate.
"""

_DOUBLE = {"div": 36, "rcp": 28, "sqrt": 36, "min": 6, "max": 6}
_CHEAP_DOUBLE = {"neg", "abs", "mov", "ld", "st"}
_ROUNDED = {"div": 9, "rcp": 7, "sqrt": 9}
_APPROXIMATE = {"div": 3, "rcp": 1, "sqrt": 2}
_TWO_WORDS = {"add", "sub", "and", "or", "xor", "shl", "shr", "setp", "selp"}
_OFTEN_REMOVED = {"mov": 0.3, "neg": 0.3, "abs": 0.3, "not": 0.3}  # by ptxas, or part of others


def issue_slots(opcode: str) -> float:
    """Of one instruction such as "fma.rn.f32"."""
    op, *_ = parts = opcode.split(".")
    kind = parts[-1]
    wide = kind.endswith("64")
    if op in ("cvta", "ret"):
        return 0
    if kind == "f64" and op != "cvt":
        return 1 if op in _CHEAP_DOUBLE else _DOUBLE.get(op, 2)
    if op in ("div", "rem") and kind != "f32":
        return 26 if wide else 18
    if op in _ROUNDED:
        return (_ROUNDED if "rn" in parts else _APPROXIMATE)[op]
    if op in _OFTEN_REMOVED:
        return _OFTEN_REMOVED[op]
    if kind == "pred":
        return 0.5
    if op == "cvt":
        return 0.3 if wide or "s64" in parts or "u64" in parts else 1
    if op == "mul" and "lo" in parts and wide:
        return 4
    if op in _TWO_WORDS and wide:
        return 2
    if op in ("shfl", "vote"):
        return 1.5
    return 1
