"""Help texts, versions, and what this build is."""

import json
import re

import pytest
import torch

from hvae.cli import main


class TestHelp:
    @pytest.mark.parametrize("command", [[], ["train"], ["eval"], ["info"]])
    def test_it_teaches_with_examples(self, capfd, command):
        assert main([*command, "--help"]) == 0
        out, err = capfd.readouterr()
        assert err == "" and f"\n  hvae {' '.join(command)}" in out

    def test_info_tells_the_build(self, capfd):
        assert main(["info", "--json"]) == 0
        build = json.loads(capfd.readouterr().out)
        assert build["versions"]["torch"] == torch.__version__
        assert build["instruction_set"] in build["instruction_sets"]
        assert list(build["devices"])[0] == "cpu"
        assert main(["info"]) == 0
        shown = capfd.readouterr().out
        for value in (torch.__version__, build["instruction_set"], "CUDA kernels"):
            assert value in shown

    def test_version(self, capfd):
        assert main(["--version"]) == 0
        assert re.fullmatch(r"hvae, version \d+\.\d+\.\d+\n", capfd.readouterr().out)
