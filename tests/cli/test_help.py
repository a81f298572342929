"""Help texts, versions, and what this build is."""

import json
import re

import pytest
import torch

from hvae.cli import main
from hvae.model import LIKELIHOODS, NETWORKS

_COMMANDS = [
    *([], ["train"], ["eval"], ["info"], ["runs"], ["plot"]),
    *(["encode"], ["decode"], ["sample"], ["score"], ["sweep"], ["table"]),
]


class TestHelp:
    @pytest.mark.parametrize("command", _COMMANDS)
    def test_it_teaches_with_examples(self, capfd, command):
        assert main([*command, "--help"]) == 0
        out, err = capfd.readouterr()
        assert err == "" and f"\n  hvae {' '.join(command)}" in out

    def test_train_names_every_part_of_the_registries(self, capfd):
        """And the widths of every network, and what each kind of data has by default."""
        assert main(["train", "--help"]) == 0
        words = "".join(capfd.readouterr().out.split())  # lines break at hyphens too
        likelihoods, networks = ",".join(LIKELIHOODS), ",".join(NETWORKS)
        assert f"Ofarowgivenalatentpoint:auto,{likelihoods}.autogoesby" in words
        assert "binarybernoulli,unitintervalbernoulli,realgaussian,countsnegative-bin" in words
        assert f"Encoderanddecoder:{networks}." in words
        assert "mlp256,128;gated300,300;conv32,64,256." in words

    def test_the_values_of_trains_options_have_plain_names(self, capfd):
        """NAME of a list that the text gives, else what the value is."""
        assert main(["train", "--help"]) == 0
        named = dict(re.findall(r"^  (--[a-z-]+) ([A-Z_]+) ", capfd.readouterr().out, re.MULTILINE))
        assert set(named.values()) == {
            *("NAME", "LIST", "FILE", "FOLDER", "COLUMN", "SHAPE", "SECONDS"),
            *("RUN", "WORD", "INTEGER", "FLOAT"),
        }
        for option in ("--prior", "--likelihood", "--network", "--kappa-grad", "--device"):
            assert named[option] == "NAME"

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
