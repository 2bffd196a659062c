#!/usr/bin/env python3
"""Model directories between the program and Hugging Face transformers, in both directions.

    python3 tools/oracle_directories.py --program build/release/tenebra [--keep DIR] [--read DIR]

Theirs read here: a small random model and its processor as the installed version's save_pretrained writes them; what the program
makes of a large picture (rows) and of one that needs no resizing (greedy tokens) is compared with AutoProcessor and generate().
Ours read there: the program trains that model in full for one update, in F32 and in BF16, with its rule of picture sizes and with
another; the results are opened with AutoProcessor and from_pretrained in their own dtype, and asked again, both sides in F32.
--keep leaves the directories of a run, --read compares those that another version left instead of making any. Runs with transformers
4.51, 4.57 and 5 (any processor: sizes and the unresized picture do not depend on it). Exit code 1 if anything differs.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings

import torch
import transformers
from PIL import Image
from safetensors import safe_open
from transformers import (AutoProcessor, AutoTokenizer, Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLImageProcessor,
                          Qwen2VLProcessor)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOKENIZER = os.path.join(ROOT, "tests/data/tokenizer-small")
QUESTION, TOKENS = "What is small and green?", 12
IDS = {"bos_token_id": "<|endoftext|>", "eos_token_id": "<|im_end|>", "vision_start_token_id": "<|vision_start|>",
       "vision_end_token_id": "<|vision_end|>", "image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
NEW = int(transformers.__version__.split(".")[0]) >= 5
failures = []


def check(label, got, expected):
    same = got == expected
    print(f"  {'ok  ' if same else 'FAIL'} {label}: {got}" + ("" if same else f", expected {expected}"))
    if not same:
        failures.append(label)


def save_theirs(directory, dtype):
    """A random model, its tokenizer and its processor, as this version writes them."""
    tokens = AutoTokenizer.from_pretrained(TOKENIZER)
    rotary = {"mrope_section": [2, 3, 3], "rope_theta": 1e6}
    text = {"vocab_size": len(tokens) + 11, "hidden_size": 96, "intermediate_size": 200, "num_hidden_layers": 3,
            "num_attention_heads": 6, "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "max_position_embeddings": 4096}
    text.update({"rope_parameters": {"rope_type": "default", **rotary}} if NEW else
                {"rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}, "rope_theta": 1e6})
    config = Qwen2VLConfig(vision_config={"depth": 2, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 4, "hidden_size": 96},
                           tie_word_embeddings=False, **{key: tokens.convert_tokens_to_ids(word) for key, word in IDS.items()}, **text)
    torch.manual_seed(5)
    model = Qwen2VLForConditionalGeneration(config)
    with torch.no_grad():
        for tensor in model.parameters():
            if tensor.dim() >= 2:
                tensor.copy_(torch.randn(tensor.shape) * 1.5 / tensor[0].numel() ** 0.5)
    model.to(getattr(torch, dtype)).save_pretrained(directory)
    limits = {"size": {"shortest_edge": 3136, "longest_edge": 200704}} if NEW else {"min_pixels": 3136, "max_pixels": 200704}
    images = Qwen2VLImageProcessor(**limits)
    parts = {"image_processor": images, "tokenizer": tokens, "chat_template": tokens.chat_template}
    if transformers.__version__ >= "4.52":
        from transformers import Qwen2VLVideoProcessor
        parts["video_processor"] = Qwen2VLVideoProcessor()
    Qwen2VLProcessor(**parts).save_pretrained(directory)


def ask_there(directory, picture, tokens):
    """Rows of the picture, greedy tokens, and the dtype that loading chose."""
    processor = AutoProcessor.from_pretrained(directory)
    name = "dtype" if NEW else "torch_dtype"
    model, report = Qwen2VLForConditionalGeneration.from_pretrained(directory, attn_implementation="eager",
                                                                    output_loading_info=True, **{name: "auto"})
    dtype = str(model.dtype).replace("torch.", "")
    check("tensors that are missing, spare or misshapen", [len(report[key]) for key in report if key.endswith("_keys")],
          [0] * sum(key.endswith("_keys") for key in report))
    model = model.float().eval()
    turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]
    text = processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    inputs = processor(text=[text], images=[Image.open(picture)], return_tensors="pt")
    rows = int(inputs["image_grid_thw"].prod()) // 4
    if not tokens:
        return rows, None, dtype
    out = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
    return rows, out[0][inputs["input_ids"].shape[1]:].tolist(), dtype


def ask_here(program, directory, picture):
    turns = [{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": QUESTION}]}]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(turns, file)
        file.flush()
        done = subprocess.run([program, "run", "-m", directory, "--messages", file.name, "--method", "direct", "--positions", "mrope",
                               "-n", str(TOKENS), "--json", "--kernels", "reference"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    trace = json.loads(done.stdout)
    return trace["counts"]["image"], trace["tokens"], done.stderr


def stored_dtype(directory):
    found = set()
    for name in os.listdir(directory):
        if name.endswith(".safetensors"):
            with safe_open(os.path.join(directory, name), "pt") as file:
                found |= {str(file.get_tensor(key).dtype).replace("torch.", "") for key in file.keys()}
    return found.pop() if len(found) == 1 else "float32"


def compare(program, directory, pictures, rows):
    print(f"{os.path.basename(directory)}: {sorted(name for name in os.listdir(directory) if 'processor' in name)}")
    large, fitting = pictures
    check("rows of a picture of 1000 x 1000, there", ask_there(directory, large, False)[0], rows)
    check("the same here", ask_here(program, directory, large)[0], rows)
    _, theirs, dtype = ask_there(directory, fitting, True)
    _, ours, note = ask_here(program, directory, fitting)
    check("greedy tokens here", ours, theirs)
    check("dtype that it loads in", dtype, stored_dtype(directory))
    print("       ", note.strip() or "no note")


def train(program, source, directory, data, *changes):
    words = [program, "train", "-m", source, "-d", f"hops:{data}", "-o", directory, *(word for change in (
        "finetuning_type=full", "method=direct", "max_updates=1", "validate=false", "batch_size=1", "gradient_accumulation_steps=1",
        "freeze_vision_tower=false", "lr=0", *changes) for word in ("--set", change))]
    subprocess.run(words, check=True, capture_output=True)
    shutil.move(os.path.join(directory, "model"), directory + "-model")
    os.remove(os.path.join(directory + "-model", "training.json"))  # compared are the directories alone
    return directory + "-model"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--keep")
    parser.add_argument("--read", action="append", default=[])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    print("transformers", transformers.__version__, "torch", torch.__version__)
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or scratch
        os.makedirs(folder, exist_ok=True)
        pictures = [os.path.join(folder, name) for name in ("large.png", "fitting.png")]
        for path, size in zip(pictures, (1000, 112)):
            Image.effect_noise((size, size), 90).convert("RGB").save(path)
        data = os.path.join(scratch, "data")
        subprocess.run([arguments.program, "data", "make", "hops", data, "--train", "2", "--dev", "1", "--test", "1"], check=True,
                       capture_output=True)
        for dtype in ("float32", "bfloat16") if not arguments.read else ():
            theirs = os.path.join(folder, f"theirs-{dtype}")
            save_theirs(theirs, dtype)
            compare(arguments.program, theirs, pictures, 256)
            for save in ("f32", "bf16"):
                ours = train(arguments.program, theirs, os.path.join(folder, f"ours-{dtype}-{save}"), data, f"save_dtype={save}")
                compare(arguments.program, ours, pictures, 256)
        if not arguments.read:
            ruled = train(arguments.program, theirs, os.path.join(folder, "ours-ruled"), data, "image_max_pixels=50176")
            compare(arguments.program, ruled, pictures, 64)
        for other in arguments.read:
            for name in sorted(os.listdir(other)):
                directory = os.path.join(other, name)
                if os.path.exists(os.path.join(directory, "config.json")) and name.startswith("ours"):
                    compare(arguments.program, directory, pictures, 64 if "ruled" in name else 256)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
