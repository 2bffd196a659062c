#!/usr/bin/env python3
"""The same training work in PyTorch: Hugging Face's Qwen2-VL, PEFT's LoRA or all weights, torch's AdamW.

    bench/train_torch.py MODEL --rows 110 --labels 30 --image 112x112 --batch 16 --dtype f32,autocast
    bench/train_torch.py MODEL --lora-rank 64 --rows 360 --labels 40 --image 448x448 --batch 1 --dtype bf16 --checkpointing

Needs torch, transformers==4.51.3 and peft. MODEL is a directory with config.json and weights in safetensors (`tenebra bench --shape`
writes one; the tokenizer is not used). Every sample has one picture of noise, ROWS rows in all and LABELS labelled rows at its end, all
of the same length, so that nothing is lost to padding. `bench/train.py` prints rows and labels of its samples: give them here.

Types: f32; bf16: weights and products (what fits a large frozen model); autocast: f32 weights, products in bf16. Prints the median of the
updates after the first two."""
import argparse
import resource
import statistics
import time

import torch
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration


def load(options, dtype):
    model = Qwen2VLForConditionalGeneration.from_pretrained(
        options.model, torch_dtype=torch.bfloat16 if dtype == "bf16" else torch.float32, attn_implementation="sdpa")
    if options.lora_rank:
        from peft import LoraConfig, get_peft_model
        targets = r"model\.layers\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
        model = get_peft_model(model, LoraConfig(r=options.lora_rank, lora_alpha=16, lora_dropout=0.05, target_modules=targets))
    if options.checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    return model


def make_batch(options, config):
    """Samples of the wanted lengths: pixel rows [patches, channels * time * patch * patch], ids [batch, rows]."""
    vision = config.vision_config
    width, height = (int(side) for side in options.image.split("x"))
    grid = (1, height // vision.patch_size, width // vision.patch_size)
    patches = grid[1] * grid[2]
    tokens = patches // vision.spatial_merge_size ** 2
    row = vision.in_channels * vision.temporal_patch_size * vision.patch_size ** 2
    if tokens + options.labels + 4 > options.rows:
        raise SystemExit(f"the picture alone takes {tokens} of {options.rows} rows")
    ids = torch.randint(5, 200, (options.batch, options.rows))
    ids[:, 1] = config.vision_start_token_id
    ids[:, 2:2 + tokens] = config.image_token_id
    ids[:, 2 + tokens] = config.vision_end_token_id
    labels = ids.clone()
    labels[:, :options.rows - options.labels] = -100
    return {"input_ids": ids, "labels": labels, "attention_mask": torch.ones_like(ids),
            "pixel_values": torch.randn(options.batch * patches, row), "image_grid_thw": torch.tensor([grid] * options.batch)}


def measure(options, dtype):
    torch.manual_seed(1)
    model = load(options, dtype)
    batch = make_batch(options, Qwen2VLConfig.from_pretrained(options.model))
    if dtype == "bf16":
        batch["pixel_values"] = batch["pixel_values"].bfloat16()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-5, foreach=True)
    seconds = []
    for _ in range(options.updates):
        begin = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "autocast"):
            loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - begin)
    middle = statistics.median(seconds[2:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"torch {torch.__version__} {dtype:8}: {options.batch * options.rows / middle:8.1f} rows/s  "
          f"{1000 * middle / options.batch:9.2f} ms a sample  loss {loss.item():.3f}  peak memory {peak:.0f} MB", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--labels", type=int, required=True)
    parser.add_argument("--image", default="112x112")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--updates", type=int, default=7)
    parser.add_argument("--lora-rank", type=int, default=0)
    parser.add_argument("--dtype", default="f32,autocast")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.updates < 3:
        parser.error("at least 3 updates: the first two are not counted")
    torch.set_num_threads(options.threads)
    for dtype in options.dtype.split(","):
        measure(options, dtype)


if __name__ == "__main__":
    main()
