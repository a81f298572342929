"""Derivatives of an op at its Autograd key, in reverse mode and in forward mode.

`torch.library.register_autograd` knows reverse mode alone: under `torch.func.jvp` an op would have
the tangent 0 without a word. Here forward mode is a formula of its own, made of differentiable
operations, so that any mode may be taken of it again. It costs a step in reverse mode one
comparison. (An `autograd.Function` with a `jvp` would do outside `torch.compile`, which refuses
one.)
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._functorch import autograd_function
from torch.autograd import forward_ad

Remember = Callable[[Any, tuple[Any, ...], Any], None]
Backward = Callable[..., Any]
Tangents = tuple[Tensor | None, ...]
Push = Callable[[tuple[Any, ...], Any, Tangents], Any]

_LIBRARY = torch.library.Library("hvae", "FRAGMENT")


def define(schema: str, function: Callable[..., Any], shapes: Callable[..., Any]) -> None:
    """An op of the namespace hvae that is made of other ops.

    Args:
        schema: as "name(Tensor x) -> Tensor".
        function: its values, below all differentiation.
        shapes: what it returns without data.
    """
    name = schema.partition("(")[0]
    _LIBRARY.define(schema)
    _LIBRARY.impl(name, function, "CompositeExplicitAutograd")
    torch.library.register_fake(f"hvae::{name}", shapes)


def register_derivatives(name: str, remember: Remember, backward: Backward, push: Push) -> None:
    """Gives the op `hvae::name` its derivatives.

    Args:
        name: of the op.
        remember: (ctx, inputs, output), as `setup_context` of an autograd.Function.
        backward: (ctx, *gradients) -> a gradient, or a tuple, for every input.
        push: (inputs, output, tangents of the inputs) -> the tangent of the output, or a tuple of
            one for every output, None where the op is not differentiable. A tangent that arrives
            as None is 0.
    """
    _LIBRARY.impl(name, _kernel(name, remember, backward, push), "Autograd", with_keyset=True)


def _kernel(name: str, remember: Remember, backward: Backward, push: Push) -> Callable[..., Any]:
    op = getattr(torch.ops.hvae, name).default

    def below(keyset: Any, inputs: Sequence[Any]) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            return op.redispatch(keyset & torch._C._after_autograd_keyset, *inputs)

    class Reverse(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs_and_keyset: Any) -> Any:
            *inputs, keyset = inputs_and_keyset
            with _outer_modes():
                output = below(keyset, inputs)
            with torch._C._AutoDispatchBelowAutograd():
                remember(ctx, tuple(inputs), output)
            return output

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor | None) -> Any:
            found = backward(ctx, *gradients)
            return (*found, None) if isinstance(found, tuple) else (found, None)

    Reverse.__name__ = f"Derivatives_of_{name}"

    def kernel(keyset: Any, *inputs: Any) -> Any:
        # Compiled code enters forward mode without that number.
        if forward_ad._current_level >= 0 or torch._C._are_functorch_transforms_active():
            primals, tangents = _unpacked(inputs)
            if any(tangent is not None for tangent in tangents):
                output = op(*primals)
                return _dual(output, push(primals, output, tangents))
        if torch.is_grad_enabled() and torch._C._any_requires_grad(*inputs):
            return _applied(Reverse, inputs, keyset)
        return below(keyset, inputs)

    return kernel


def _applied(function: Any, inputs: tuple[Any, ...], keyset: Any) -> Any:
    """The autograd.Function at the level of the transform that called the kernel, if one did."""
    if not torch._C._are_functorch_transforms_active():
        return function.apply(*inputs, keyset)
    with autograd_function.enable_single_level_autograd_function():  # type: ignore[attr-defined]
        return super(torch.autograd.Function, function).apply(*inputs, keyset)


def _outer_modes() -> contextlib.AbstractContextManager[Any]:
    """Within an autograd.Function torch records nothing: a transform around this one still must."""
    if not torch._C._are_functorch_transforms_active():
        return contextlib.nullcontext()
    stack = contextlib.ExitStack()
    stack.enter_context(torch.enable_grad())
    stack.enter_context(forward_ad._set_fwd_grad_enabled(True))
    return stack


def _unpacked(inputs: tuple[Any, ...]) -> tuple[tuple[Any, ...], Tangents]:
    """The inputs without their tangents, and those; None for what has none."""
    pairs = [
        forward_ad.unpack_dual(x, level=0)
        if isinstance(x, Tensor) and x.is_floating_point()
        else (x, None)
        for x in inputs
    ]
    primals, tangents = zip(*pairs, strict=True)
    return primals, tangents


def _dual(output: Any, tangents: Any) -> Any:
    if isinstance(output, Tensor):
        return output if tangents is None else forward_ad.make_dual(output, tangents, level=0)
    return tuple(_dual(x, t) for x, t in zip(output, tangents, strict=True))


def register_no_derivatives(name: str, reason: str) -> None:
    """Makes every derivative of the op `hvae::name` a RuntimeError with this reason."""

    def refuse(*_: Any) -> Any:
        raise RuntimeError(reason)

    register_derivatives(name, lambda ctx, inputs, output: None, refuse, refuse)


def total(*terms: Tensor | None) -> Tensor:
    """The sum of the terms that are there, of which there is one."""
    first, *others = (term for term in terms if term is not None)
    return sum(others, start=first)
