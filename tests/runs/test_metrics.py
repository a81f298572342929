"""hvae.runs.metrics: the end of an epoch is marked, and one can go back to it."""

from hvae.runs.metrics import START, Metrics


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
