"""hvae.devices: devices that are not there, and threads."""

import pytest
import torch

from hvae import build, devices
from hvae.devices import available_device, processor, use_threads
from hvae.errors import Refused


def machine(monkeypatch, gpus, kernels):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(build, "has_cuda_kernels", lambda: kernels)


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    machine(monkeypatch, gpus=0, kernels=True)
    assert available_device("cpu").type == "cpu"
    with pytest.raises(Refused, match="--device: cuda is not there; allowed: cpu$"):
        available_device("cuda")
    machine(monkeypatch, gpus=2, kernels=True)
    assert available_device("cuda:1").index == 1
    with pytest.raises(Refused, match="cuda:2 is not there; allowed: cpu, cuda, cuda:0, cuda:1$"):
        available_device("cuda:2")


def test_a_device_without_kernels_is_refused(monkeypatch):
    machine(monkeypatch, gpus=1, kernels=False)
    with pytest.raises(Refused, match="--device: cuda: hvae was built without CUDA kernels"):
        available_device("cuda")


def test_threads():
    before = torch.get_num_threads()
    use_threads(None)
    assert torch.get_num_threads() == before
    use_threads(2)
    assert torch.get_num_threads() == 2
    use_threads(before)


def test_the_processor_has_a_name(monkeypatch, tmp_path):
    listed = tmp_path / "cpuinfo"
    listed.write_text("processor\t: 0\nmodel name\t: A: fast one\nprocessor\t: 1\n")
    monkeypatch.setattr(devices, "_CPUINFO", listed)
    assert processor() == "A: fast one"
    monkeypatch.setattr(devices, "_CPUINFO", tmp_path / "none")
    assert processor() != ""
