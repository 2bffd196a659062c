"""Random Qwen2-VL directories of many shapes, as Hugging Face's save_pretrained writes them."""
import json
import os
import shutil

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, Qwen2VLConfig, Qwen2VLForConditionalGeneration

from hf.versions import ImageProcessor

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "added_tokens.json",
                   "chat_template.json", "special_tokens_map.json")

# Name: what differs from BASE. "vision" changes entries of vision_config; "limits" are min_pixels and max_pixels;
# "shard" is save_pretrained's max_shard_size; "dtype" the type of the stored weights.
BASE = {"hidden_size": 96, "intermediate_size": 200, "num_hidden_layers": 3, "num_attention_heads": 6,
        "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "tie_word_embeddings": False,
        "sections": [2, 3, 3], "vision": {"depth": 2, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 4},
        "limits": None, "shard": "5GB", "dtype": "float32"}
SPECS = {
    "gqa-untied": {},
    "multi-query": {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 1, "sections": [1, 2, 5],
                    "intermediate_size": 136, "tie_word_embeddings": True, "limits": [3136, 47040]},
    "full-heads": {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 4, "sections": [4, 2, 2],
                   "num_hidden_layers": 1, "vision": {"depth": 1, "embed_dim": 48, "num_heads": 4, "mlp_ratio": 2}},
    "deep-sharded": {"hidden_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2, "sections": [4, 6, 6],
                     "num_hidden_layers": 7, "shard": "300KB", "rms_norm_eps": 1e-5, "rope_theta": 1e4,
                     "tie_word_embeddings": True, "limits": [12544, 100352]},
    "wide-heads-bf16": {"hidden_size": 192, "num_attention_heads": 3, "num_key_value_heads": 3,
                        "sections": [8, 12, 12], "num_hidden_layers": 2, "dtype": "bfloat16",
                        "vision": {"depth": 4, "embed_dim": 64, "num_heads": 4, "mlp_ratio": 4}},
    "small-heads-f16": {"hidden_size": 96, "num_attention_heads": 12, "num_key_value_heads": 4, "sections": [2, 1, 1],
                        "num_hidden_layers": 4, "dtype": "float16", "shard": "200KB"},
    "one-section": {"hidden_size": 80, "num_attention_heads": 5, "num_key_value_heads": 1, "sections": [8, 0, 0],
                    "intermediate_size": 77, "vision": {"depth": 3, "embed_dim": 24, "num_heads": 1, "mlp_ratio": 3}},
}


def token_ids(tokenizer):
    """The ids that config.json names, and those of this tokenizer."""
    names = {"bos_token_id": "<|endoftext|>", "eos_token_id": "<|im_end|>", "vision_start_token_id": "<|vision_start|>",
             "vision_end_token_id": "<|vision_end|>", "vision_token_id": "<|vision_pad|>",
             "image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    return {key: tokenizer.convert_tokens_to_ids(text) for key, text in names.items()}


def make_config(spec, vocabulary, ids):
    spec = {**BASE, **spec}
    plain = {key: value for key, value in spec.items() if key not in ("sections", "vision", "limits", "shard", "dtype")}
    return Qwen2VLConfig(vocab_size=vocabulary, max_position_embeddings=32768, use_sliding_window=False,
                         rope_scaling={"type": "mrope", "mrope_section": spec["sections"]},
                         vision_config={**spec["vision"], "hidden_size": spec["hidden_size"]}, **ids, **plain)


@torch.no_grad()
def fill(model, seed):
    """Weights with which attention is neither flat nor a single peak, and logits span some units: both make
    errors visible. Matrices keep the size of what they multiply. Where the head is tied, small embeddings under
    a large last norm keep the network from repeating the token that it was given."""
    generator = torch.Generator().manual_seed(seed)
    tied = model.config.tie_word_embeddings
    for name, tensor in model.named_parameters():
        noise = torch.randn(tensor.shape, generator=generator)
        if "embed_tokens" in name:
            tensor.copy_((0.2 if tied else 1.0) * noise)
        elif tensor.dim() >= 2:
            gain = 1.6 if "q_proj" in name or "k_proj" in name else 3.0 if "lm_head" in name else 1.0
            tensor.copy_(noise * gain / (tensor[0].numel() ** 0.5))
        elif name.endswith("bias"):
            tensor.copy_(0.2 * noise)
        else:
            tensor.copy_((1 + 0.1 * noise) * (2.0 if tied and name in ("model.norm.weight", "model.language_model.norm.weight") else 1.0))


def save_random(directory, spec, tokenizer, seed, vocabulary=None):
    """Writes the directory and returns it. `vocabulary` rows of the embedding, a few more than tokens if None."""
    spec = {**BASE, **spec}
    tokens = AutoTokenizer.from_pretrained(tokenizer)
    config = make_config(spec, vocabulary or len(tokens) + 15, token_ids(tokens))
    torch.manual_seed(seed)
    model = Qwen2VLForConditionalGeneration(config)
    fill(model, seed)
    model.to(getattr(torch, spec["dtype"])).save_pretrained(directory, max_shard_size=spec["shard"])
    limits = dict(zip(("min_pixels", "max_pixels"), spec["limits"] or (3136, 12845056)))
    ImageProcessor(**limits).save_pretrained(directory)
    for name in TOKENIZER_FILES:
        if os.path.exists(os.path.join(tokenizer, name)):
            shutil.copy(os.path.join(tokenizer, name), directory)
    return directory


def copy_with_new_names(source, directory):
    """The same model under the tensor names and the nested config of transformers 4.52 and later."""
    shutil.copytree(source, directory)
    path = os.path.join(directory, "model.safetensors")
    tensors = {}
    for name, tensor in load_file(path).items():
        if name.startswith("visual."):
            name = "model." + name
        elif name.startswith("model."):
            name = "model.language_model." + name[len("model."):]
        tensors[name] = tensor
    save_file(tensors, path, metadata={"format": "pt"})
    path = os.path.join(directory, "config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    if "text_config" in config:  # written by such a version
        return directory
    top = ("architectures", "image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id",
           "vision_token_id", "vision_config", "tie_word_embeddings", "torch_dtype", "transformers_version")
    nested = {key: value for key, value in config.items() if key not in top}
    nested["model_type"] = "qwen2_vl_text"
    config = {**{key: config[key] for key in top if key in config}, "model_type": "qwen2_vl", "text_config": nested}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file, indent=1)
    return directory


def copy_with_config_rows(source, directory, rows):
    """The same model with a vocab_size in config.json that the tensors do not have, as released checkpoints
    with cut embeddings do."""
    shutil.copytree(source, directory)
    path = os.path.join(directory, "config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    config["vocab_size"] = rows
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file, indent=1)
    return directory
