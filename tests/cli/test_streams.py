"""What a terminal shows, and streams that are closed."""

import json
import os
import pty
import re
import shutil
import subprocess
import threading

import pytest
import thorough
from processes import SHORT, WHOLE, shell

from hvae import files


def read_all(handle, chunks):
    """Everything from the leading end of a pseudo-terminal until the other end is closed."""
    try:
        while chunk := os.read(handle, 65536):
            chunks.append(chunk)
    except OSError:  # Linux: the other end is closed and everything is read
        pass


class TestTerminal:
    def test_the_bar_shows_epoch_figures_and_time(self, tmp_path):
        """On a pseudo-terminal: rich draws there, and the result is on stdout as ever.

        It is read while the command runs: a terminal holds a few thousand bytes, and then waits.
        """
        leader, follower = pty.openpty()
        shown = []
        reader = threading.Thread(target=read_all, args=(leader, shown), daemon=True)
        reader.start()
        ran = subprocess.run(
            [*WHOLE, "train", *SHORT, "--threads", "1", "--json"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=follower,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
            timeout=150,
        )
        os.close(follower)
        reader.join()
        os.close(leader)
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(shown).decode())
        assert ran.returncode == 0
        assert re.search(r"epoch .* 2/2 ELBO -\d+\.\d+ RE \d+\.\d+ KL \d+\.\d+ \d:\d\d:\d\d", text)
        assert json.loads(ran.stdout)["completed"] is True


MORE_CLOSED = [(">&-", 1), ("--json >&- <&-", 1)]


class TestClosed:
    """What the shell closes is as good as /dev/null: the work is done, and nothing complains."""

    @pytest.fixture
    def run(self, home, tmp_path):
        [run] = (home[0] / "runs").iterdir()
        shutil.copytree(run, tmp_path / "run")
        return tmp_path

    def test_training_without_stdout(self, tmp_path):
        settings = " ".join(SHORT)
        ran = shell(f"hvae train {settings} --threads 1 --out run >&-", cwd=tmp_path)
        assert (ran.returncode, ran.stdout) == (0, "")
        assert [line[:6] for line in ran.stderr.splitlines()] == ["epoch "] * 2
        assert files.read_json(tmp_path / "run" / "result.json")["completed"] is True

    @pytest.mark.parametrize(
        ("streams", "said"),
        thorough.count(
            [(">&- 2>&- <&-", 0)], [(">&-", 1), ("--json >&- <&-", 1), (">&- 2>&- <&-", 0)]
        ),
    )
    def test_evaluation(self, run, streams, said):
        ran = shell(f"hvae eval run --iw-samples 2 --threads 1 {streams}", cwd=run)
        assert (ran.returncode, ran.stdout) == (0, "")
        assert [line[:7] for line in ran.stderr.splitlines()] == ["images "] * said
        assert files.read_json(run / "run" / "eval-test-2-3.json")["images"] == 250

    def test_a_refusal_without_stderr_is_a_refusal(self, tmp_path):
        assert shell("hvae train --epochs 0 2>&-", cwd=tmp_path).returncode == 2
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "arguments", thorough.count(["train --help"], ["info", "--help", "train --help"])
    )
    def test_a_reader_that_has_gone_is_told_in_one_line(self, tmp_path, arguments):
        ran = shell(f"{{ hvae {arguments}; echo $? > status; }} | true", cwd=tmp_path)
        assert (tmp_path / "status").read_text() == "4\n"
        assert ran.stderr == "hvae: error: the reader of the output has gone\n"
