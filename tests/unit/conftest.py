"""Fixtures shared by the unit tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from indexers.model_lock import ModelFiles
from rag.types import Matrix


@pytest.fixture(scope="session")
def letter_model(tmp_path_factory) -> Callable[[Mapping[str, int], Matrix], ModelFiles]:
    """Makes a text model of letters, whose output is known: a token's row is its row of a table, shape (tokens, 384).

    The vocabulary numbers its tokens, "[PAD]", "[UNK]", "[CLS]" and "[SEP]" as 0 to 3, a letter that goes on a word as
    "##" and the letter.
    """

    def made(vocabulary: Mapping[str, int], table: Matrix) -> ModelFiles:
        folder = tmp_path_factory.mktemp("letters")
        tokenizer = Tokenizer(models.WordPiece(dict(vocabulary), unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        tokenizer.save(str(folder / "tokenizer.json"))
        helper = onnx.helper
        graph = helper.make_graph(
            [helper.make_node("Gather", ["table", "input_ids"], ["states"])],
            "letters",
            [helper.make_tensor_value_info("input_ids", onnx.TensorProto.INT64, ["b", "n"])],
            [helper.make_tensor_value_info("states", onnx.TensorProto.FLOAT, ["b", "n", 384])],
            [onnx.numpy_helper.from_array(table, "table")],
        )
        toy = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        (folder / "model.onnx").write_bytes(toy.SerializeToString())
        return ModelFiles("letters", folder, "letters-weights")

    return made
