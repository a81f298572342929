"""The report of training on a mapped file, at a small size."""

import json

from hvae.benchmarks.reports import large_file
from hvae.data import table
from hvae.training.step import Trainer


def test_it_measures_a_training_that_maps_its_file(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(table, "LARGE_BYTES", 1 << 20)  # 1568 kB are large, 784 kB are not
    monkeypatch.setattr(large_file, "_IN_MEMORY_ROWS", 1000)
    step = Trainer.step
    typed = ["--rows", "2000", "--steps", "5", "--folder", str(tmp_path)]
    assert large_file.main(typed) == 0
    *lines, document = capfd.readouterr().out.splitlines()
    figures = json.loads(document)
    assert figures["steps"] == 6 and figures["first_step_cpu_seconds"] > 0
    assert figures["memory_mib"] > 0 and figures["step_ms"] > 0
    assert "at most 2 s: " in lines[1] and "at most 1024 MiB: " in lines[3]
    assert Trainer.step is step and list(tmp_path.iterdir()) == []


def test_a_row_too_few_is_one_line(tmp_path, capfd):
    assert large_file.main(["--rows", "2", "--folder", str(tmp_path)]) == 2
    assert "allowed: 1 row or more in every split" in capfd.readouterr().err
