"""hvae.runs.outcome: the run that completed last."""

import pytest

from hvae import files
from hvae.errors import Refused
from hvae.runs import newest_completed


class TestNewest:
    def result(self, home, name, **document):
        (home / name).mkdir()
        figures = {"elbo": -1.0, "re": 1.0, "kl": 0.0, "kl_per_shell": [], "kappa": []}
        more = {"best_epoch": 1, "epochs": 1, "validation": figures, "seconds": 1.0}
        more |= {"data_checksum": "", "diverged": {}}
        files.write_json(home / name / "result.json", {**more, **document})

    def test_it_is_the_one_that_completed_last(self, tmp_path):
        self.result(tmp_path, "a", completed=True, finished="2025-01-02T00:00:00+00:00")
        self.result(tmp_path, "b", completed=True, finished="2025-01-03T00:00:00+00:00")
        self.result(tmp_path, "c", completed=False, finished="2025-01-04T00:00:00+00:00")
        (tmp_path / "d").mkdir()
        (tmp_path / "e").mkdir()
        (tmp_path / "e" / "result.json").write_text("{")
        assert newest_completed(tmp_path) == tmp_path / "b"

    @pytest.mark.parametrize("home", [".", "nowhere"])
    def test_none_is_refused(self, tmp_path, home):
        with pytest.raises(Refused, match="RUN: no completed run under"):
            newest_completed(tmp_path / home)
