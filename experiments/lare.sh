#!/usr/bin/env bash
# LaRe (our reading, docs/methods.md) beside the other methods on hops: experiments/lare.sh PROGRAM DIRECTORY [SEEDS [ROWS]]
# DIRECTORY is that of chains.sh, whose run `pairs` must exist: as in results.sh, every seed learns chains in words (brief-*), and
# every row of the tables is trained from there with the same questions and number of updates, and asked 3,000 test questions.
# ROWS names the only rows to make ("lare-v4 ivt-lr"). Trainings run side by side, one thread each. Existing results are not
# computed again; the same command continues what was stopped.
set -euo pipefail

[ $# -ge 2 ] && [ $# -le 4 ] || { echo "usage: $0 PROGRAM DIRECTORY [SEEDS [ROWS]]" >&2; exit 2; }
program=$(realpath "$1")
recipes=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)/default
. "$recipes/../runs.sh"
seeds=${3:-1 2 3}
cd "$2"
mkdir -p results

# A row: its name, then the method and keys.
table=(
    "direct direct resume=0"
    "cot cot prompt=words resume=0"
    "coconut coconut"
    "ivt-lr ivt-lr k_select=4"
    # the losses
    "lare-lm lare k_select=4 loss=lm"
    "lare-v4 lare k_select=4 loss=v4"
    "lare-v3 lare k_select=4 loss=v3"
    "lare-mse lare k_select=4 loss=v4 rec=mse"
    # without words for the steps that the thoughts replace: every update has all thoughts, then the answer
    "lare-answer lare k_select=4 loss=v4 uniform_prob=0"
    # ablations: no selection, random embeddings, those of the first step, no gate, no question, no LQ-Former
    "lare-all lare loss=lm latent_picks=all"
    "lare-random lare k_select=4 loss=lm latent_picks=random"
    "lare-once lare k_select=4 loss=lm latent_picks=repeat"
    "lare-half lare k_select=4 loss=lm gate=half"
    "lare-vision lare k_select=4 loss=lm gate=vision"
    "lare-off lare loss=lm refine=no"
    # thoughts
    "lare-1 lare k_select=4 loss=lm max_latent_stage=1 resume=1"
    "lare-2 lare k_select=4 loss=lm max_latent_stage=2 resume=2"
    "lare-4 lare k_select=4 loss=lm max_latent_stage=4 resume=4"
    "lare-8 lare k_select=4 loss=lm max_latent_stage=8 resume=8 num_epochs=9"
)
rows=${4:-$(printf '%s\n' "${table[@]}" | cut -d' ' -f1)}

# row NAME SEED METHOD KEY=VALUE...: trained from the chain in words, then asked
row() {
    local way=$1 seed=$2 method=$3 name=$1-$2 data=chains sets=()
    shift 3
    [ "$method" != cot ] || data=sentences
    for key in "$@"; do sets+=(--set "$key"); done
    train "results/$name" compare -m "results/brief-$seed/model" -d "hops:data/$data" --set "method=$method" --set "seed=$seed" --set resume=6 \
        "${sets[@]}" -t 1
    ask "$name" "$name" -t 1
    [ "$way" != lare-v4 ] || ask "lare-alike-$seed" "$name" -t 1 --alike 0.02
}

# ask NAME MODEL OPTIONS...: answers of the run MODEL to the test questions
ask() {
    local name=$1 model=$2
    shift 2
    [ -f "results/$name.done" ] && return 0
    "$program" eval -m "results/$model/model" -d hops:data/chains --split test -n 120 --parallel 16 -o "results/$name.jsonl" "$@"
    touch "results/$name.done"
}

# beside COMMAND...: in the background, as soon as a processor is free
beside() {
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
    "$@" &
}

# all_done: waits for what runs beside; one that failed ends the script
all_done() {
    while [ -n "$(jobs -p)" ]; do wait -n; done
}

make sentences --families arrows --train 16000 --dev 600 --test 3000 --seed 1
for seed in $seeds; do
    beside train "results/brief-$seed" chains -m pairs/model -d hops:data/chains --set max_updates=500 --set lr_scheduler_type=cosine \
        --set "seed=$seed" -t 1
done
all_done
for seed in $seeds; do
    for line in "${table[@]}"; do
        read -r -a words <<<"$line"
        [[ " ${rows//$'\n'/ } " = *" ${words[0]} "* ]] || continue
        beside row "${words[0]}" "$seed" "${words[@]:1}"
    done
done
all_done

groups=()
for way in $rows lare-alike; do
    files=()
    for seed in $seeds; do
        [ -f "results/$way-$seed.done" ] && files+=("results/$way-$seed.jsonl")
    done
    [ ${#files[@]} = 0 ] || groups+=(--group "$way=$(IFS=,; echo "${files[*]}")")
done
"$program" eval table --form markdown "${groups[@]}" > results/lare.md
