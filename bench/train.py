#!/usr/bin/env python3
"""Measures training: rows through the decoder a second, and the share of the machine's best product, by stage.

    bench/train.py PROGRAM --shape tiny --tokenizer DIR [--updates 12] [--batch 16] [--set key=value ...]
    bench/train.py PROGRAM --model DIR --lora-rank 64 ...    (0: all weights)

Makes a few hundred questions, trains some updates at each stage, drops the first two of each, prints the median of the rest
and the peak memory of the process. The weights go nowhere: everything lies in a temporary directory."""
import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def measure(options, root, stage):
    # Epochs of one stage each: the run begins in the epoch that belongs to `stage`.
    settings = [f"batch_size={options.batch}", "gradient_accumulation_steps=1", "epochs_per_stage=1", f"resume={stage}",
                f"num_epochs={stage + 1}", f"max_updates={options.updates}", "validate=false", "k_select=" + str(options.picks),
                "logging_steps=1000000", *options.set]
    if options.shape:
        settings += [f"shape={options.shape}", f"tokenizer={options.tokenizer}"]
    else:
        settings += [f"model={options.model}", *([f"lora_rank={options.lora_rank}"] if options.lora_rank else ["finetuning_type=full"])]
    command = [options.program, "train", "-d", f"hops:{root / 'hops'}", "-o", str(root / f"stage-{stage}")]
    for setting in settings:
        command += ["--set", setting]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rows = [json.loads(line) for line in (root / f"stage-{stage}" / "log.jsonl").read_text().splitlines()][2:]
    seconds = statistics.median(row["tokens"] / row["tokens_per_second"] for row in rows)
    return {"stage": stage, "tokens_per_second": statistics.median(row["tokens_per_second"] for row in rows),
            "mfu": statistics.median(row["mfu"] for row in rows), "tokens": statistics.median(row["tokens"] for row in rows),
            "labels": statistics.median(row["labels"] for row in rows), "sample_ms": 1000 * seconds / options.batch}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--shape")
    parser.add_argument("--tokenizer")
    parser.add_argument("--model")
    parser.add_argument("--lora-rank", type=int, default=64)
    parser.add_argument("--updates", type=int, default=12)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--picks", type=int, default=4)
    parser.add_argument("--stages", type=int, nargs="*", default=[0, 1, 2, 3])
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    if bool(options.shape) == bool(options.model) or (options.shape and not options.tokenizer) or options.updates < 3:
        parser.error("name either --shape with --tokenizer, or --model; at least 3 updates")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        subprocess.run([options.program, "data", "make", "hops", str(root / "hops"), "--train", str(options.batch * options.updates),
                        "--dev", "1", "--test", "1"], check=True, stdout=subprocess.DEVNULL)
        for stage in options.stages:
            row = measure(options, root, stage)
            print(f"stage {row['stage']}: {row['tokens_per_second']:8.0f} tokens/s  mfu {100 * row['mfu']:4.0f}%  "
                  f"{row['sample_ms']:7.2f} ms a sample of {row['tokens'] / options.batch:.0f} rows, "
                  f"{row['labels'] / options.batch:.0f} labels", flush=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"peak memory {peak / 1024:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
