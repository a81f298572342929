"""What nvcc makes of the kernels, and that the translation of PTX knows what it translates."""

import re

import pytest
from translation import costs, ptx

FACTS = re.compile(r'key == "(.*?)"\) return \{.*?, (\d+)\};')


def test_kernels_of_float32_compute_in_float32(backend):
    """A GPU has few units for float64, so one slip costs more than all the rest."""
    if backend.name != "ptx":
        pytest.skip("a matter of PTX")
    texts = [path.read_text() for path in (backend.folder / "csrc/cuda").glob("*.cu")]
    facts = {key: int(double) for text in texts for key, double in FACTS.findall(text)}
    floats = [key for key in facts if "float" in key.split()]
    assert len(floats) > 30
    assert {key: facts[key] for key in floats if facts[key]} == {}


def entry(*body):
    registers = (".reg .f32 %f<9>;", ".reg .b32 %r<9>;", ".reg .b64 %rd<9>;", ".reg .pred %p<9>;")
    return ptx.Entry(["a_param_0"], [*registers, *body], {}, counted=False)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("fma.rn.f32 %f1, %f2, %f3, 0f3F800000;", "__builtin_fmaf(r_f2, r_f3, "),
        ("setp.ltu.f32 %p1, %f1, %f2;", "r_p1 = !(r_f1 >= r_f2);"),
        ("setp.lt.f32 %p1, %f1, %f2;", "r_p1 = r_f1 < r_f2;"),
        ("mul.wide.u32 %rd1, %r1, %r2;", "uint64_t(uint32_t(r_r1)) * uint64_t(uint32_t(r_r2))"),
        ("@!%p1 bra $L__BB0_2;", "if (!r_p1) { goto L_L__BB0_2; }"),
        ("rcp.approx.ftz.f32 %f1, %f2;", "ptx_inexact("),
        ("ld.param.v2.f32 {%f1, %f2}, [a_param_0+8];", ", 12))"),
    ],
)
def test_an_instruction_as_cpp(line, code):
    assert code in entry(line).code("run")


@pytest.mark.parametrize(
    "line",
    [
        "atom.global.add.f32 %f1, [%rd1], %f2;",
        "red.global.add.f32 [%rd1], %f2;",
        "fma.rz.f32 %f1, %f2, %f3, %f4;",
        "activemask.b32 %r1;",
        "no instruction",
    ],
)
def test_what_it_does_not_know_it_refuses(line):
    """An atomic sum too, whose order a GPU does not keep: no kernel has one."""
    with pytest.raises((ValueError, KeyError)):
        entry(line)


def test_doubles_are_counted_and_cost_more():
    double = entry(".reg .f64 %fd<9>;", "fma.rn.f64 %fd1, %fd2, %fd3, %fd4;")
    assert double.double_precision == 1 and double.costs == [2]
    assert entry("fma.rn.f32 %f1, %f2, %f3, %f4;").costs == [1]
    assert costs.issue_slots("div.rn.f32") > costs.issue_slots("div.full.f32") > 1


def test_names_of_kernels():
    name = (
        "void hvae::(anonymous namespace)::sample_kernel<hvae::(anonymous namespace)::Layout<1, 16,"
        " 16l>, float>(hvae::SampleArguments<float>, int)"
    )
    assert ptx.kernel_key(name) == "sample_kernel 1 16 16 float"
    other = "void hvae::columns_kernel<(hvae::portable::Quantity)5, double>(int)"
    assert ptx.kernel_key(other) == "columns_kernel 5 double"
