"""Adapters in both directions: what the installed PEFT writes is read by the program, and what the program trains is read
by PEFT. Both are compared by the picks and tokens of an answer, and ours also by how many matrices PEFT fills."""
import copy
import json
import os
import warnings

import torch
from safetensors.torch import load_file
from peft import LoraConfig, PeftModel, get_peft_model

from hf import versions

LINEAR = ["q_proj", "v_proj", "down_proj", "attn.qkv", "mlp.0"]


def kinds(tied):
    """Name: what LoraConfig gets. Names of modules are those of the installed transformers."""
    text, tower = ("model.language_model", "model.visual") if versions.NEW else ("model", "visual")
    found = {
        "list": {"target_modules": LINEAR},
        "expression": {"target_modules": rf"{text}\..*\.(q|up)_proj|{tower}\..*fc1"},
        "all-linear": {"target_modules": "all-linear", "use_rslora": True},
        "patterns": {"target_modules": LINEAR, "rank_pattern": {rf"{text}\.layers\.0\..*": 5, "mlp.0": 1},
                     "alpha_pattern": {rf"^{tower}\..*qkv": 9, r"layers\.\d\.self_attn\.v_proj": 1, "v_proj": 50}},
        "layers": {"target_modules": ["o_proj", "up_proj"], "layers_to_transform": [0], "layers_pattern": "layers"},
        "excluded": {"target_modules": LINEAR, "exclude_modules": ["v_proj"]},
        "dora": {"target_modules": LINEAR, "use_dora": True},
        "head": {"target_modules": ["q_proj", "lm_head"]},
        "saved": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "visual.merger"]},
        "saved embedding": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
        "tokens": {"target_modules": ["q_proj"], "trainable_token_indices": [5, 64, 107]},
        "gaussian": {"target_modules": ["q_proj"], "init_lora_weights": "gaussian"},
        "random": {"target_modules": ["q_proj"], "init_lora_weights": False},
        "orthogonal": {"target_modules": ["q_proj"], "init_lora_weights": "orthogonal"},
    }
    if hasattr(LoraConfig, "ensure_weight_tying") and tied:
        found["saved and tied"] = {**found["saved embedding"], "ensure_weight_tying": True}
    if not hasattr(LoraConfig, "trainable_token_indices"):
        del found["tokens"]
    return found


def supported(name):
    """PEFT 0.15 has no orthogonal start."""
    if name != "orthogonal":
        return True
    from peft.tuners.lora.layer import LoraLayer
    return hasattr(LoraLayer, "orthogonal_init")


@torch.no_grad()
def disturb(model, seed):
    """Trained values of everything that the adapter has, the weight below one of the head included."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.named_parameters():
        if tensor.requires_grad or "lm_head.base_layer" in name:
            size = 0.1 if "lora_B" in name else 0.0 if "lora_A" in name else 0.2 * float(tensor.std())
            tensor += size * torch.randn(tensor.shape, generator=generator)


def write(directory, base, settings, seed):
    """By PEFT, on a fresh copy of the model."""
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(versions.load(base), LoraConfig(r=4, lora_alpha=6, **settings))
        disturb(model, seed)
        model.save_pretrained(directory)


def read(reference, directory):
    """The reference with the adapter on it, and what PEFT warned of."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(versions.load(reference.directory), directory).eval()
    other = copy.copy(reference)
    other.peft, other.model = model, model.get_base_model()
    return other, [str(one.message) for one in seen if "adapter keys" in str(one.message)]


def filled(reference):
    """Matrices B that PEFT took from the file: a fresh one is zero."""
    return sum(float(tensor.detach().abs().max()) > 0 for name, tensor in reference.peft.named_parameters() if ".lora_B." in name)


def pairs(directory):
    return sum(".lora_B." in name for name in load_file(os.path.join(directory, "adapter_model.safetensors")))


def train(program, base, data, directory, **settings):
    """Some updates of an adapter by the program; the directory that it writes."""
    recipe = {"model": base, "output": directory, "data": "hops:" + data, "method": "direct", "validate": False,
              "finetuning_type": "lora", "lora_rank": 4, "lora_alpha": 16, "lr": 0.02, "max_updates": 3, "batch_size": 2,
              "gradient_accumulation_steps": 1, "freeze_vision_tower": False, **settings}
    path = directory + ".yaml"
    with open(path, "w", encoding="utf-8") as file:
        json.dump(recipe, file)  # JSON is YAML
    program.call([program.path, "train", path])
    return os.path.join(directory, "adapter")
