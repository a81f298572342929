"""hvae.runs.metrics: the end of an epoch is marked, and one can go back to it."""

import json

import pytest

from hvae.errors import EnvironmentProblem, Refused
from hvae.runs.metrics import START, Metrics, read_metrics


def test_marks(tmp_path):
    metrics = Metrics(tmp_path / "metrics.jsonl")
    metrics.cut(START)
    metrics.append({"epoch": 1})
    mark = metrics.mark()
    metrics.append({"epoch": 2})
    metrics.check(mark)
    other = Metrics(metrics.path)
    other.cut(mark)
    assert metrics.path.read_text() == '{"epoch": 1}\n' and other.mark() == mark


class TestRead:
    FIGURES = {"elbo": -1, "re": 1, "kl": 0, "kl_per_shell": [0], "kappa": [1]}

    def line(self, epoch):
        return {"epoch": epoch, "train": self.FIGURES, "validation": self.FIGURES}

    def test_the_lines_without_one_that_is_being_written(self, tmp_path):
        metrics = Metrics(tmp_path / "metrics.jsonl")
        assert read_metrics(metrics.path) == []
        for epoch in (1, 2):
            metrics.append(self.line(epoch))
        whole = metrics.path.read_bytes()
        assert read_metrics(metrics.path) == [self.line(1), self.line(2)]
        metrics.path.write_bytes(whole[:-1])
        assert read_metrics(metrics.path) == [self.line(1)]

    @pytest.mark.parametrize("second", ["{", "3", '{"epoch": 2}', "[" * 100_000])
    def test_another_line_is_refused_by_its_number(self, tmp_path, second):
        path = tmp_path / "metrics.jsonl"
        path.write_text(f"{json.dumps(self.line(1))}\n{second}\n")
        with pytest.raises(Refused, match="is damaged: line 2 is not that of epoch 2$"):
            read_metrics(path)

    def test_an_epoch_that_is_missing_is_refused(self, tmp_path):
        path = tmp_path / "metrics.jsonl"
        path.write_text(f"{json.dumps(self.line(2))}\n")
        with pytest.raises(Refused, match="line 1 is not that of epoch 1"):
            read_metrics(path)

    def test_what_cannot_be_read_is_the_environments(self, tmp_path):
        with pytest.raises(EnvironmentProblem, match="cannot be read"):
            read_metrics(tmp_path)
