import importlib
import threading
from types import SimpleNamespace

import pytest

from indexers.devices import DeviceLost, OutOfDeviceMemory
from indexers.encoders.visual import copies, torch_library
from indexers.encoders.visual.copies import ModelCopies
from indexers.encoders.visual.memory import patch_bytes
from indexers.encoders.visual.torch_library import cpu_knows_bf16, device_names, dtype_name, load_torch
from rag.errors import ConfigError, MissingExtra


class Torch(SimpleNamespace):
    """As much of torch as setting up asks for."""

    def __init__(self, gpus=0, cuda=None):
        super().__init__(
            cuda=SimpleNamespace(device_count=lambda: gpus),
            version=SimpleNamespace(cuda=cuda),
            library=SimpleNamespace(Library=self.declare),
        )
        self.declared = []

    def declare(self, name, kind):
        return SimpleNamespace(define=lambda text: self.declared.append((name, kind, text.partition("(")[0])))


@pytest.fixture
def modules(monkeypatch):
    """Stands in for the installed libraries: a value is the module, an exception is raised once."""
    present = {}

    def load(name):
        found = present.get(name, ImportError(name))
        if isinstance(found, Exception):
            present[name] = SimpleNamespace() if isinstance(found, RuntimeError) else found
            raise found
        return found

    monkeypatch.setattr(importlib, "import_module", load)
    monkeypatch.setattr(torch_library, "_keep", [])
    return present


def test_without_torch_the_extra_is_named(modules):
    with pytest.raises(MissingExtra, match=r"encoding pages needs the 'models' extra"):
        load_torch("encoding pages")
    modules["torch"] = Torch()
    with pytest.raises(MissingExtra):
        load_torch("encoding pages")


def test_operators_are_declared_only_beside_a_cpu_torch(modules):
    modules |= {"torch": Torch(), "torchvision": RuntimeError("operator torchvision::nms does not exist")}
    assert [name for _, _, name in load_torch("x").declared] == ["nms", "qnms"]
    assert [name for _, _, name in load_torch("x").declared] == ["nms", "qnms"]  # once
    modules |= {"torch": Torch(cuda="13.0"), "torchvision": RuntimeError("libcudart is missing")}
    with pytest.raises(RuntimeError, match="libcudart"):
        load_torch("x")


def test_auto_means_every_gpu_or_else_the_cpu(modules):
    modules |= {"torch": Torch(gpus=2), "torchvision": SimpleNamespace()}
    assert device_names(("auto",)) == ("cuda:0", "cuda:1")
    assert device_names(("cuda:1", "cuda:1", "cpu")) == ("cuda:1", "cpu")
    with pytest.raises(ConfigError, match="no device cuda:2"):
        device_names(("cuda:2",))
    with pytest.raises(ConfigError, match="auto"):
        device_names(("auto", "cpu"))
    modules["torch"] = Torch()
    assert device_names(("auto",)) == ("cpu",)


def test_the_number_type_follows_the_device(monkeypatch, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    for flags, knows in (("fpu avx2", False), ("fpu avx512f avx512_bf16", True), ("amx_bf16", True)):
        cpuinfo.write_text(f"processor : 0\nflags\t\t: {flags}\n")
        assert cpu_knows_bf16(cpuinfo) is knows
        monkeypatch.setattr(torch_library, "cpu_knows_bf16", lambda knows=knows: knows)
        assert dtype_name("auto", ("cpu",)) == ("bf16" if knows else "f32")
    assert not cpu_knows_bf16(tmp_path / "absent")
    monkeypatch.setattr(torch_library, "cpu_knows_bf16", lambda: False)
    assert dtype_name("auto", ("cuda:0",)) == "bf16"
    assert dtype_name("bf16", ("cpu",)) == "bf16"


def test_each_device_loads_its_model_once(monkeypatch):
    monkeypatch.setattr(copies, "device_errors", lambda _: threading.Lock())
    loaded = []
    kept = ModelCopies(lambda device: loaded.append(device) or device.upper())
    threads = [threading.Thread(target=kept.on, args=(device,)) for device in ("a", "b") * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(loaded) == ["a", "b"]
    kept.drop("a")
    assert kept.on("a") == "A"
    assert sorted(loaded) == ["a", "a", "b"]


def test_a_model_without_room_is_a_lost_device(monkeypatch):
    monkeypatch.setattr(copies, "device_errors", lambda _: threading.Lock())

    def load(_):
        raise OutOfDeviceMemory("7 GiB wanted")

    with pytest.raises(DeviceLost, match="does not fit into the memory of cuda:0"):
        ModelCopies(load).on("cuda:0")


def test_memory_of_a_patch_grows_with_the_model_and_its_numbers():
    small = {"text_config": {"hidden_size": 576, "num_hidden_layers": 30, "intermediate_size": 1536}}
    large = {"text_config": {"hidden_size": 2048, "num_hidden_layers": 36, "intermediate_size": 11008}}
    assert patch_bytes(small, "bf16") < patch_bytes(large, "bf16")
    assert patch_bytes(large, "f32") == 2 * patch_bytes(large, "bf16")
    merged = {**large, "vision_config": {"hidden_size": 1280, "intermediate_size": 3420, "spatial_merge_size": 2}}
    assert patch_bytes(merged, "bf16") > patch_bytes(large, "bf16")
    assert patch_bytes({"vlm_config": large}, "bf16") == patch_bytes(large, "bf16")
