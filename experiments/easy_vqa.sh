#!/usr/bin/env bash
# easy-VQA from random weights: experiments/easy_vqa.sh PROGRAM EASY-VQA DIRECTORY
# Three runs in DIRECTORY: shapes (hard to see, and never learned together with all other questions), then colours and yes or no
# about shapes, then everything. DIRECTORY/all/model is the result; its answers to all test questions are in DIRECTORY/test.jsonl.
# Existing results are not computed again. docs/results.md has the numbers.
set -euo pipefail

[ $# = 3 ] || { echo "usage: $0 PROGRAM EASY-VQA DIRECTORY" >&2; exit 2; }
program=$(realpath "$1")
data=easy-vqa:$(realpath "$2")
recipes=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)/easy_vqa
. "$recipes/../runs.sh"
mkdir -p "$3"
cd "$3"

[ -d tokenizer ] || "$program" data vocab "$data" -o tokenizer --size 500
train shapes questions -d "$data" --set shape=small --set tokenizer=tokenizer --set init_std=0 --set topics=shape --set max_updates=320
train names questions -d "$data" -m shapes/model --set topics=shape,colour,yes-no-shape --set max_updates=350
train all questions -d "$data" -m names/model --set max_updates=450 --set lr=7e-4 --set lr_scheduler_type=cosine
"$program" eval -m all/model --data "$data" -n 6 -w "$(nproc)" -o test.jsonl
