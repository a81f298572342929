"""A .cu file as g++ takes it: launches, the dispatch key and the stream are rewritten.

Everything else of its host code stays: packing of arguments, launch geometry, chunks of shells.
"""

import re

DISPATCH = "STABLE_TORCH_LIBRARY_IMPL(hvae, CUDA,"


def for_gcc(text: str) -> str:
    """kernel<...><<<grid, block, ...>>> as a launch of the emulator."""
    return _with_launches(text, lambda kernel, rest: f"::emulator::configure(&{kernel}, {rest})")


def for_ptx(text: str) -> str:
    """The same, with the kernel found by its name."""
    return _with_launches(
        text,
        lambda kernel, rest: (
            f"::emulator::configure_ptx(&{kernel}, ::emulator::find_kernel("
            f"kernel_name<&{kernel}>()), kernel_name<&{kernel}>(), {rest})"
        ),
    )


def kernel_names(quantity_header: str) -> str:
    """C++ that names a kernel's instantiation: enumerators of Quantity become numbers."""
    enumerators = re.search(r"enum class Quantity : int \{(.*?)\}", quantity_header, re.S)[1]
    names = ", ".join(f'"{name}"' for name in re.findall(r"^\s*(k\w+)", enumerators, re.M))
    return (
        "template <auto Kernel> static std::string kernel_name() {\n"
        f"  static const char* const names[] = {{{names}}};\n"
        "  return ::emulator::kernel_key(__PRETTY_FUNCTION__, names, sizeof names / sizeof *names);"
        "\n}\n"
    )


def schemas(sources: list[str], namespace: str) -> str:
    """The registration of the ops that the .cpp files of csrc/torch define."""
    found = [s for text in sources for s in re.findall(r"m\.def\(.*?\);", text, re.S)]
    ops = "\n".join(s for s in found if "Tensor" in s)
    return f"STABLE_TORCH_LIBRARY({namespace}, m) {{\n{ops}\n}}\n"


def _with_launches(text: str, launch) -> str:
    pattern = r"([A-Za-z_]\w*(?:<[^;{}()]*?>)?)\s*<<<"
    while m := re.search(pattern, text):
        close = text.index(">>>", m.end())
        rest = text[m.end() : close]
        text = text[: m.start()] + launch(m[1], rest) + text[close + 3 :]
    text = text.replace(DISPATCH, "STABLE_TORCH_LIBRARY_IMPL(hvae_emulated, CPU,")
    text = re.sub(r"const torch::stable::accelerator::DeviceGuard guard\(.*?\);", "", text)
    stream = r"TORCH_ERROR_CODE_CHECK\(aoti_torch_get_current_cuda_stream\(.*?\)\);"
    text = re.sub(stream, "", text, flags=re.S)
    for left in ("<<<", "DeviceGuard guard", "aoti_torch_get_current_cuda_stream", ", CUDA,"):
        if left in text:
            raise ValueError(f"{left} was not rewritten")
    return text.replace("__CUDACC__", "HVAE_EMULATED")
