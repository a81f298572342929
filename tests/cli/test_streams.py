"""What a terminal shows, and streams that are closed."""

import json
import os
import pty
import re
import subprocess
import threading

from processes import SHORT, WHOLE


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
