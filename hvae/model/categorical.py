"""Categorical columns: integer codes, with a softmax over the codes of each."""

import itertools

import torch
from torch import Tensor

from hvae import ops
from hvae.description import DataDescription, Kind
from hvae.errors import Refused
from hvae.model.likelihood import Likelihood

MAX_OUTPUTS = 1 << 20


class Categorical(Likelihood):
    """x_j is a code from 0 to the column's largest; the encoder sees each one-hot.

    The decoder gives a logit for every code of every column, one column after the other. `mean` is
    the mean of the codes; it is a code's number only where the codes are ordered. A code above the
    column's largest, in a row that was not among the data, has log p = -inf, and the encoder sees
    none for it.

    Raises:
        Refused: the largest codes of the data are not known, or there are more than `MAX_OUTPUTS`
            codes in all columns.
    """

    title = "categorical"
    takes = frozenset({Kind.COUNTS, Kind.BINARY})

    codes: Tensor
    first: Tensor
    grouped: Tensor
    column: Tensor

    def __init__(self, data: DataDescription) -> None:
        super().__init__(data)
        codes = _codes(data)
        first = list(itertools.accumulate(codes[:-1], initial=0))
        self._outputs = sum(codes)
        # Columns with as many codes are one group, [columns, codes]: no logit is padded.
        groups = {n: [j for j, own in enumerate(codes) if own == n] for n in sorted(set(codes))}
        self._groups = [(len(columns), n) for n, columns in groups.items()]
        grouped = [first[j] + k for n, columns in groups.items() for j in columns for k in range(n)]
        order = [j for columns in groups.values() for j in columns]
        column = sorted(range(len(order)), key=order.__getitem__)
        for name, values in (
            ("codes", codes),
            ("first", first),
            ("grouped", grouped),
            ("column", column),
        ):
            self.register_buffer(name, torch.tensor(values), persistent=False)

    @property
    def outputs(self) -> int:
        return self._outputs

    @property
    def seen(self) -> DataDescription:
        return DataDescription((self.outputs,), Kind.BINARY, self.data.covariates)

    def encoder_input(self, x: Tensor) -> Tensor:
        place, known = self._place(x)
        one_hot = torch.zeros(len(x), self.outputs, device=x.device)
        return one_hot.scatter_add_(1, place, known.to(one_hot.dtype))

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """sum_j log softmax of column j at its code."""
        place, known = self._place(x)
        chosen = parameters.gather(-1, place.expand(*parameters.shape[:-1], -1)).sum(-1)
        normalizers = [logits.logsumexp(-1).sum(-1) for logits in self._grouped(parameters)]
        log_prob = chosen - torch.stack(normalizers).sum(0)
        return log_prob.masked_fill(~known.all(-1), -torch.inf)

    def mean(self, parameters: Tensor) -> Tensor:
        means = [
            logits.softmax(-1) @ torch.arange(logits.shape[-1], device=logits.device).to(logits)
            for logits in self._grouped(parameters)
        ]
        return torch.cat(means, -1).index_select(-1, self.column)

    def sample(self, parameters: Tensor, rng: Tensor) -> Tensor:
        """By the inverse of the distribution function."""
        samples, rows = parameters.shape[:2]
        columns = len(self.codes)
        uniform = ops.uniform(rng, samples, rows, columns, dtype=parameters.dtype)
        uniform = uniform.index_select(-1, self.column.argsort())
        codes = []
        parts = uniform.split([count for count, _ in self._groups], -1)
        for logits, part in zip(self._grouped(parameters), parts, strict=True):
            below = logits.softmax(-1).cumsum(-1)[..., :-1] < part[..., None]
            codes.append(below.sum(-1))
        return torch.cat(codes, -1).index_select(-1, self.column).to(parameters.dtype)

    def _place(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[R, D] each: which output a code is, and whether the column has it."""
        code = x.long()
        return self.first + code.minimum(self.codes - 1), code < self.codes

    def _grouped(self, parameters: Tensor) -> list[Tensor]:
        """The logits of every group, [..., columns, codes]."""
        if len(self._groups) > 1:
            parameters = parameters.index_select(-1, self.grouped)
        parts = parameters.split([columns * codes for columns, codes in self._groups], -1)
        return [part.unflatten(-1, group) for part, group in zip(parts, self._groups, strict=True)]


def _codes(data: DataDescription) -> list[int]:
    """How many codes every column has."""
    if data.kind is Kind.BINARY:
        return [2] * data.size
    if data.maxima is None:
        raise Refused(
            "--likelihood: the largest code of each column is not known; allowed for categorical: "
            "data that say it"
        )
    codes = [largest + 1 for largest in data.maxima]
    if sum(codes) > MAX_OUTPUTS:
        raise Refused(
            f"--likelihood: the columns have {sum(codes)} codes; allowed for categorical: up to "
            f"{MAX_OUTPUTS} in all"
        )
    return codes
