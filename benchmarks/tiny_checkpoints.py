"""Write a tiny checkpoint with random weights, for plumbing tests and speed measurements without a model hub.

Run: python -m benchmarks.tiny_checkpoints FAMILY DIR [--seed 0]

Each has under two million parameters, a tokenizer trained on a few sentences, and a processor: everything that the
real checkpoint's folder holds. The same seed gives the same weights. Their vectors mean nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from indexers.encoders.visual.torch_library import Model, Processor, load_library, load_torch

TEXT = (
    "The patient shows a left lower lobe consolidation consistent with pneumonia.",
    "Which bone is the longest of the human body, and what attaches to it?",
    "Troponin I 0.04 ng/mL; CT angiography of the chest with contrast. User: Assistant: Describe the image.",
    "The trachea is lined by ciliated epithelium; goblet cells secrete mucus. Question: Query: what, where, why?",
)
WIDTH, VISION = 128, 64
QWEN_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
               "<|image_pad|>", "<|video_pad|>")  # fmt: skip
TILE_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<fake_token_around_image>",
               "<image>", "<end_of_utterance>", "<global-img>",
               *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)))  # fmt: skip
GEMMA_TOKENS = ("<pad>", "<eos>", "<bos>", "<image>")
GEMMA3_TOKENS = ("<pad>", "<eos>", "<bos>", "<start_of_image>", "<end_of_image>", "<image_soft_token>",
                 "<start_of_turn>", "<end_of_turn>")  # fmt: skip
TEXT_CONFIG: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}


def tokenizer(tokens: tuple[str, ...], *, end: str, pad: str, begin: str | None = None) -> Processor:
    """A byte-level BPE tokenizer with a family's special tokens."""
    tokenizers = load_library("tokenizers", "tiny checkpoints")
    transformers = load_library("transformers", "tiny checkpoints")
    core = tokenizers.Tokenizer(tokenizers.models.BPE())
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=800, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator(TEXT * 20, trainer)
    named = {"eos_token": end, "pad_token": pad} | ({"bos_token": begin} if begin else {})
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=core, **named)
    made.add_special_tokens({"additional_special_tokens": [token for token in tokens if token not in named.values()]})
    made.model_max_length = 4096
    return made


def rounded(size: int) -> int:
    """A vocabulary size that is a multiple of 64."""
    return (size + 63) // 64 * 64


def qwen(name: str) -> tuple[Any, Any]:
    """Configuration and processor of Qwen2-VL, Qwen2.5-VL, Qwen3-VL or Qwen3.5."""
    transformers = load_library("transformers", "tiny checkpoints")
    words = tokenizer(QWEN_TOKENS, end="<|im_end|>", pad="<|endoftext|>")
    ids = {token: words.convert_tokens_to_ids(token) for token in QWEN_TOKENS}
    newer = name in ("colqwen3", "colqwen3_5")
    patch = 16 if newer else 14
    rope: dict[str, Any] = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1e6}
    vision: dict[str, Any] = {
        "depth": 2, "num_heads": 2, "patch_size": patch, "spatial_merge_size": 2, "temporal_patch_size": 2,
    }  # fmt: skip
    text = TEXT_CONFIG | {"vocab_size": rounded(len(words)), "tie_word_embeddings": True}
    if name == "colqwen2":
        config_class, processor_class = transformers.Qwen2VLConfig, transformers.Qwen2VLProcessor
        vision |= {"embed_dim": VISION, "hidden_size": WIDTH, "mlp_ratio": 2}
    elif name == "colqwen2_5":
        config_class, processor_class = transformers.Qwen2_5_VLConfig, transformers.Qwen2_5_VLProcessor
        vision |= {"hidden_size": VISION, "intermediate_size": WIDTH, "out_hidden_size": WIDTH, "window_size": 112,
                   "fullatt_block_indexes": [1], "tokens_per_second": 2}  # fmt: skip
    else:
        processor_class = transformers.Qwen3VLProcessor
        config_class = transformers.Qwen3VLConfig if name == "colqwen3" else transformers.Qwen3_5Config
        rope = {"rope_type": "default", "mrope_section": [6, 5, 5], "mrope_interleaved": True, "rope_theta": 5e6}
        text |= {"head_dim": 32}
        vision |= {"hidden_size": VISION, "intermediate_size": WIDTH, "out_hidden_size": WIDTH,
                   "num_position_embeddings": 256}  # fmt: skip
        if name == "colqwen3":
            vision |= {"deepstack_visual_indexes": [0, 1]}
        else:
            text |= {"layer_types": ["linear_attention", "full_attention"], "linear_num_key_heads": 2,
                     "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16}  # fmt: skip
    config = config_class(
        text_config=text | {"rope_parameters": rope, "eos_token_id": ids["<|im_end|>"]},
        vision_config=vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    sizes = {"patch_size": patch, "merge_size": 2, "temporal_patch_size": 2}
    images = transformers.Qwen2VLImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": 448 * 448}, **sizes)
    videos = getattr(transformers, "Qwen3VLVideoProcessor" if newer else "Qwen2VLVideoProcessor")(**sizes)
    return config, processor_class(image_processor=images, tokenizer=words, video_processor=videos)


def paligemma() -> tuple[Any, Any]:
    """Configuration and processor of PaliGemma, reading 112 pixels a side as 8 x 8 patches."""
    transformers = load_library("transformers", "tiny checkpoints")
    words = tokenizer(GEMMA_TOKENS, end="<eos>", pad="<pad>", begin="<bos>")
    images = transformers.SiglipImageProcessor(size={"height": 112, "width": 112})
    images.image_seq_length = 64
    processor = transformers.PaliGemmaProcessor(image_processor=images, tokenizer=words)
    config = transformers.PaliGemmaConfig(
        text_config=TEXT_CONFIG | {"model_type": "gemma", "vocab_size": rounded(len(words)), "head_dim": 32},
        vision_config={"model_type": "siglip_vision_model", "hidden_size": VISION, "intermediate_size": WIDTH,
                       "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 112, "patch_size": 14,
                       "projection_dim": WIDTH, "vision_use_head": False},
        projection_dim=WIDTH,
        image_token_index=words.convert_tokens_to_ids("<image>"),
        hidden_size=WIDTH,
    )  # fmt: skip
    return config, processor


def tiled(name: str) -> tuple[Any, Any]:
    """Configuration and processor of Idefics3 or ModernVBert: tiles of 64 pixels, 4 x 4 rows each, 256 at the most."""
    transformers = load_library("transformers", "tiny checkpoints")
    words = tokenizer(TILE_TOKENS, end="<|im_end|>", pad="<|endoftext|>", begin="<|begin_of_text|>")
    images = transformers.Idefics3ImageProcessor(
        size={"longest_edge": 256}, max_image_size={"longest_edge": 64}, do_image_splitting=True
    )
    processor = transformers.Idefics3Processor(image_processor=images, tokenizer=words, image_seq_len=16)
    vision = {"hidden_size": VISION, "intermediate_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2,
              "image_size": 64, "patch_size": 8}  # fmt: skip
    vocabulary = {"vocab_size": rounded(len(words))}
    common = {"image_token_id": words.convert_tokens_to_ids("<image>"), "tie_word_embeddings": False}
    if name == "colidefics3":
        text = TEXT_CONFIG | vocabulary | {"model_type": "llama", "tie_word_embeddings": False}
        return transformers.Idefics3Config(text_config=text, vision_config=vision, scale_factor=2, **common), processor
    text = {key: value for key, value in TEXT_CONFIG.items() if key != "num_key_value_heads"} | vocabulary
    text |= {"global_attn_every_n_layers": 2, "local_attention": 128}
    text |= {f"{role}_token_id": words.pad_token_id for role in ("pad", "bos", "eos", "cls", "sep")}
    config = transformers.ModernVBertConfig(
        text_config=transformers.ModernBertConfig(**text),
        vision_config=transformers.SiglipVisionConfig(**vision),
        pixel_shuffle_factor=2,
        **common,
    )
    return config, processor


def engine_checkpoint(family: str, folder: Path) -> None:
    """A checkpoint of colpali-engine."""
    models = load_library("colpali_engine.models", "tiny checkpoints")
    if family == "colpali":
        config, processor = paligemma()
    elif family.startswith("colqwen"):
        config, processor = qwen(family)
    else:
        config, processor = tiled(family)
    names = {"colpali": "ColPali", "colqwen2": "ColQwen2", "colqwen2_5": "ColQwen2_5", "colqwen3": "ColQwen3",
             "colqwen3_5": "ColQwen3_5", "colidefics3": "ColIdefics3",
             "colmodernvbert": "ColModernVBert"}  # fmt: skip
    save(getattr(models, names[family])(config), processor, folder)


def native_checkpoint(family: str, folder: Path) -> None:
    """A *ForRetrieval checkpoint of transformers, as sentence-transformers reads it."""
    transformers = load_library("transformers", "tiny checkpoints")
    if family == "native-colpali":
        config, processor = paligemma()
        wrapped = transformers.ColPaliConfig(vlm_config=config, embedding_dim=128)
        reader = transformers.ColPaliProcessor(image_processor=processor.image_processor, tokenizer=processor.tokenizer)
        save(transformers.ColPaliForRetrieval(wrapped), reader, folder)
        return
    config, processor = qwen("colqwen2")
    wrapped = transformers.ColQwen2Config(vlm_config=config, embedding_dim=128)
    reader = transformers.ColQwen2Processor(image_processor=processor.image_processor, tokenizer=processor.tokenizer)
    save(transformers.ColQwen2ForRetrieval(wrapped), reader, folder)


def dual_checkpoint(family: str, folder: Path) -> None:
    """CLIP or SigLIP of transformers, 32 pixels a side, 64-d."""
    transformers = load_library("transformers", "tiny checkpoints")
    words = tokenizer(("<|start|>", "<|end|>"), end="<|end|>", pad="<|end|>", begin="<|start|>")
    words.model_max_length = 64
    size = rounded(len(words))
    text = {"vocab_size": size, "hidden_size": VISION, "intermediate_size": WIDTH, "num_hidden_layers": 2,
            "num_attention_heads": 2, "max_position_embeddings": 64, "projection_dim": 64,
            "eos_token_id": words.eos_token_id, "bos_token_id": words.bos_token_id,
            "pad_token_id": words.pad_token_id}  # fmt: skip
    vision = {"hidden_size": VISION, "intermediate_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2,
              "image_size": 32, "patch_size": 8, "projection_dim": 64}  # fmt: skip
    if family == "clip":
        images = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
        processor = transformers.CLIPProcessor(image_processor=images, tokenizer=words)
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=64)
        save(transformers.CLIPModel(config), processor, folder)
        return
    images = transformers.SiglipImageProcessor(size={"height": 32, "width": 32})
    processor = transformers.SiglipProcessor(image_processor=images, tokenizer=words)
    config = transformers.SiglipConfig(text_config=text, vision_config=vision)
    save(transformers.SiglipModel(config), processor, folder)


def open_clip_checkpoint(folder: Path) -> None:
    """A folder as open_clip publishes it: open_clip_config.json beside the weights."""
    open_clip = load_library("open_clip", "tiny checkpoints")
    safetensors = load_library("safetensors.torch", "tiny checkpoints")
    model = {"embed_dim": 64, "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
             "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}}  # fmt: skip
    pixels = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
    made = open_clip.CLIP(**model)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"model_cfg": model, "preprocess_cfg": pixels}, indent=2)
    (folder / "open_clip_config.json").write_text(text, encoding="utf-8")
    safetensors.save_file(made.state_dict(), folder / "open_clip_model.safetensors")


def save(model: Model, processor: Processor, folder: Path) -> None:
    """Write model and processor, the weights as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)


def chat_template(opening: str, closing: str, image: str, *, begin: str = "") -> str:
    """A template of turns: text as it is, an image as its token, whether content is a string or a list of parts."""
    part = f"{{% if part.type == 'text' %}}{{{{ part.text }}}}{{% else %}}{image}{{% endif %}}"
    content = f"{{% for part in turn.content %}}{part}{{% endfor %}}"
    text = f"{{% if turn.content is string %}}{{{{ turn.content }}}}{{% else %}}{content}{{% endif %}}"
    turns = f"{{% for turn in messages %}}{opening}{{{{ turn.role }}}}\n{text}{closing}\n{{% endfor %}}"
    return f"{begin}{turns}{{% if add_generation_prompt %}}{opening}assistant\n{{% endif %}}"


def gemma3() -> tuple[Any, Any]:
    """Configuration and processor of Gemma3 (MedGemma's family), reading 112 pixels a side as 16 tokens."""
    transformers = load_library("transformers", "tiny checkpoints")
    words = tokenizer(GEMMA3_TOKENS, end="<eos>", pad="<pad>", begin="<bos>")
    words.add_tokens(["\n" * n for n in range(1, 5)])  # the processors of Gemma3 look these up
    roles = {"boi": "<start_of_image>", "eoi": "<end_of_image>", "image": "<image_soft_token>"}
    for role, token in roles.items():
        words.init_kwargs[f"{role}_token"] = token
        setattr(words, f"{role}_token", token)
        setattr(words, f"{role}_token_id", words.convert_tokens_to_ids(token))
    template = chat_template("<start_of_turn>", "<end_of_turn>", "<start_of_image>", begin="<bos>")
    images = transformers.Gemma3ImageProcessor(size={"height": 112, "width": 112})
    processor = transformers.Gemma3Processor(
        image_processor=images, tokenizer=words, image_seq_length=16, chat_template=template
    )
    text = {"vocab_size": rounded(len(words)), "head_dim": 32, "sliding_window": 512, "query_pre_attn_scalar": 32,
            "bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id,
            "pad_token_id": words.pad_token_id}  # fmt: skip
    config = transformers.Gemma3Config(
        text_config=TEXT_CONFIG | text,
        vision_config={"hidden_size": VISION, "intermediate_size": WIDTH, "num_hidden_layers": 2,
                       "num_attention_heads": 2, "image_size": 112, "patch_size": 14},
        mm_tokens_per_image=16,
        boi_token_index=words.boi_token_id,
        eoi_token_index=words.eoi_token_id,
        image_token_index=words.image_token_id,
    )  # fmt: skip
    return config, processor


def chat_checkpoint(family: str, folder: Path) -> None:
    """A vision-language model that vLLM serves; its weights have 16 bits."""
    transformers, torch = load_library("transformers", "tiny checkpoints"), load_torch("tiny checkpoints")
    if family == "gemma3":
        config, processor = gemma3()
        model = transformers.Gemma3ForConditionalGeneration(config)
    else:
        config, processor = qwen("colqwen2_5")
        image = "<|vision_start|><|image_pad|><|vision_end|>"
        processor.chat_template = chat_template("<|im_start|>", "<|im_end|>", image)
        model = transformers.Qwen2_5_VLForConditionalGeneration(config)
    words = processor.tokenizer
    words.chat_template = processor.chat_template
    model.config.get_text_config().bos_token_id = words.bos_token_id or words.pad_token_id
    model.generation_config.eos_token_id = words.eos_token_id
    model.generation_config.pad_token_id = words.pad_token_id
    save(model.to(torch.bfloat16), processor, folder)
    if family == "gemma3":
        rename_weights(folder, "vision_tower.", "vision_tower.vision_model.")


def rename_weights(folder: Path, old: str, new: str) -> None:
    """Give weights the prefix that published checkpoints have; transformers writes another since version 5."""
    safetensors = load_library("safetensors.torch", "tiny checkpoints")
    [path] = folder.glob("*.safetensors")
    tensors = safetensors.load_file(path)
    named = {name.replace(old, new, 1) if new not in name else name: value for name, value in tensors.items()}
    safetensors.save_file(named, path, metadata={"format": "pt"})


FAMILIES: dict[str, Callable[[str, Path], None]] = {
    **dict.fromkeys(
        ("colqwen2_5", "colpali", "colqwen2", "colqwen3", "colqwen3_5", "colidefics3", "colmodernvbert"),
        engine_checkpoint,
    ),
    **dict.fromkeys(("native-colpali", "native-colqwen2"), native_checkpoint),
    **dict.fromkeys(("clip", "siglip"), dual_checkpoint),
    **dict.fromkeys(("qwen2_5_vl", "gemma3"), chat_checkpoint),
    "open_clip": lambda _, folder: open_clip_checkpoint(folder),
}


def write(family: str, folder: Path, seed: int = 0) -> None:
    """Write the checkpoint of a family into a folder."""
    load_torch("tiny checkpoints").manual_seed(seed)
    FAMILIES[family](family, folder)


def main() -> None:
    """Write one checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("family", choices=sorted(FAMILIES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    write(args.family, args.folder, args.seed)
    size = sum(path.stat().st_size for path in args.folder.iterdir())
    print(json.dumps({"family": args.family, "folder": str(args.folder), "bytes": size}))


if __name__ == "__main__":
    main()
