#!/usr/bin/env python3
"""Adapters of every kind that is read, written by the real PEFT, with the logits that it computes with them.

    python3 adapter_golden.py GOLDEN OUT [NAME ...]     run in tools/; GOLDEN: tests/data/golden, OUT: tests/data/adapters

Each OUT/NAME holds what save_pretrained writes, and expected.safetensors: the logits of the last row of the golden
case's plain.ids, after the adapter was loaded from the directory on a fresh model. Names of modules are those of the
installed transformers: NAMES lists which version made which directory."""
import json
import sys
import warnings
from pathlib import Path

import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import Qwen2VLForConditionalGeneration

NEW = tuple(map(int, transformers.__version__.split(".")[:2])) >= (4, 52)
TEXT, TOWER = ("model.language_model", "model.visual") if NEW else ("model", "visual")
TARGETS = ["q_proj", "v_proj", "down_proj", "attn.qkv"]

# Name: golden model, what LoraConfig gets beside r = 2 and lora_alpha = 6. Those ending in -old come from transformers
# 4.51.3 and PEFT 0.15.2, the others from 5.24.0 and 0.21.2.
DORA = ("untied", {"target_modules": "all-linear", "use_dora": True})
TOKENS = ("tied", {"target_modules": ["q_proj"], "trainable_token_indices": [3, 17, 200]})
HEAD = ("tied", {"target_modules": ["q_proj", "lm_head"]})
PATTERNS = ("untied", {"target_modules": TARGETS, "use_rslora": True,
                       "rank_pattern": {rf"{TEXT}.layers.1.self_attn.q_proj": 3, r"^visual.blocks.1.attn.qkv": 1,
                                        rf"{TOWER}.blocks.0.attn.qkv": 4},
                       "alpha_pattern": {r"layers\..*\.down_proj" if not NEW else r"language_model\..*down_proj": 1.5,
                                         rf"^{TOWER}\..*": 2, "qkv": 100, "k_proj": 3}})
NAMES = {
    "dora": DORA, "dora-old": DORA, "tokens": TOKENS, "tokens-old": TOKENS, "head": HEAD, "head-old": HEAD,
    "patterns": PATTERNS, "patterns-old": PATTERNS,
    "tokens-both": ("untied", {"target_modules": ["q_proj"], "use_dora": True,
                               "trainable_token_indices": {"embed_tokens": [3, 17], "lm_head": [5, 9, 11]}}),
    "saved": ("untied", {"target_modules": ["q_proj"],
                         "modules_to_save": ["lm_head", "post_attention_layernorm", "visual.merger"]}),
    "saved-tied": ("tied", {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]}),
    "saved-both": ("tied", {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}),
    "layers": ("untied", {"target_modules": ["q_proj", "o_proj", "mlp.fc1"], "exclude_modules": r".*\.o_proj",
                          "layers_to_transform": [0, 2], "layers_pattern": "layers"}),
    "orthogonal": ("untied", {"target_modules": ["q_proj"], "init_lora_weights": "orthogonal"}),
}


def base(golden, name):
    return Qwen2VLForConditionalGeneration.from_pretrained(golden / f"qwen2vl_{name}" / "model", torch_dtype=torch.float32,
                                                           attn_implementation="eager").eval()


@torch.no_grad()
def disturb(model, generator):
    """Trained values: B that is not zero, other magnitudes, tensors and rows. PEFT saves the weight below an adapter of
    the head, too: it gets other values, so that it shows whether they are read."""
    for name, tensor in model.named_parameters():
        if "lm_head.base_layer" not in name and not tensor.requires_grad:
            continue
        size = 0.2 if "lora_B" in name else 0.0 if "lora_A" in name else 0.2 * float(tensor.std())
        tensor += size * torch.randn(tensor.shape, generator=generator)


@torch.no_grad()
def logits(model, case):
    ids = case["plain.ids"][None]
    return model(input_ids=ids, pixel_values=case["pixel_values"], image_grid_thw=case["image_grid_thw"],
                 mm_token_type_ids=(ids == model.config.image_token_id).int()).logits[0, -1] if NEW else \
        model(input_ids=ids, pixel_values=case["pixel_values"], image_grid_thw=case["image_grid_thw"]).logits[0, -1]


def make(golden, out, name):
    which, settings = NAMES[name]
    case = load_file(golden / f"qwen2vl_{which}" / "case.safetensors")
    torch.manual_seed(11)
    model = get_peft_model(base(golden, which), LoraConfig(r=2, lora_alpha=6, **settings))
    disturb(model, torch.Generator().manual_seed(len(name)))
    model.save_pretrained(out / name)
    loaded = PeftModel.from_pretrained(base(golden, which), out / name).eval()
    expected, plain = logits(loaded, case), logits(base(golden, which), case)
    save_file({"logits": expected}, str(out / name / "expected.safetensors"))
    (out / name / "README.md").unlink(missing_ok=True)
    path = out / name / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": None}, indent=2, sort_keys=True))
    for file in (out / name).iterdir():
        file.chmod(0o644)
    print(f"{name}: {len(load_file(out / name / 'adapter_model.safetensors'))} tensors, logits differ from the base model's by "
          f"{float((expected - plain).abs().max()):.2f}")


def main():
    golden, out = map(Path, sys.argv[1:3])
    warnings.simplefilter("ignore")
    print(f"transformers {transformers.__version__}, peft {peft.__version__}")
    for name in sys.argv[3:] or [name for name in NAMES if name.endswith("-old") != NEW]:
        make(golden, out, name)


if __name__ == "__main__":
    main()
