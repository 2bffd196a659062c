#!/usr/bin/env bash
# The small-scale reproduction: experiments/results.sh PROGRAM DIRECTORY [SEEDS [WAYS]]
# DIRECTORY is that of experiments/chains.sh, which must run first: every seed starts from its run `pairs`. For each of SEEDS
# (default "1 2 3") the methods are trained with the same number of updates and asked the same 3,000 test questions; answers are
# in DIRECTORY/results. Existing results are not computed again; WAYS names the only rows of the tables to make ("ivt-lr
# coconut"). docs/results.md has the numbers.
set -euo pipefail

[ $# -ge 2 ] && [ $# -le 4 ] || { echo "usage: $0 PROGRAM DIRECTORY [SEEDS [WAYS]]" >&2; exit 2; }
program=$(realpath "$1")
recipes=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)/default
. "$recipes/../runs.sh"
seeds=${3:-1 2 3}
all="direct direct-long cot look coconut ivt-lr words-picks picks-only neither detached stages1 stages2 stages3 picks1 picks2 picks8"
ways=${4:-$all}
for way in $ways; do
    [[ " $all " = *" $way "* ]] || { echo "$0: there is no row '$way', only $all" >&2; exit 2; }
done
cd "$2"
mkdir -p results

# ask NAME MODEL OPTIONS...: answers of the run MODEL to the test questions
ask() {
    local name=$1 model=$2
    shift 2
    [ -f "results/$name.done" ] && return 0
    "$program" eval -m "results/$model/model" -d hops:data/chains --split test -n 120 -w "$(nproc)" -o "results/$name.jsonl" "$@"
    touch "results/$name.done"
}

# Words: the chain with one word per step, and in sentences, with and without picks.
words() {
    local seed=$1
    train "results/brief-$seed" chains -m pairs/model -d hops:data/chains --set max_updates=500 --set lr_scheduler_type=cosine --set "seed=$seed"
    if [[ " $ways " = *" words-picks "* ]]; then
        # Table 2, "without latent text", beside picks2 and cot: the steps in words, picks after each
        train "results/words-picks-$seed" compare -m "results/brief-$seed/model" -d hops:data/sentences --set method=ivt-lr-words --set k_select=2 --set prompt=words --set "seed=$seed"
        ask "words-picks-$seed" "words-picks-$seed"
    fi
    [[ " $ways " =~ " cot "|" look " ]] || return 0
    train "results/cot-$seed" compare -m "results/brief-$seed/model" -d hops:data/sentences --set method=cot --set prompt=words --set "seed=$seed"
    ask "cot-$seed" "cot-$seed"
    # attention at the end of each sentence
    ask "look-$seed" "cot-$seed" --method icot --cue $'\nAnswer:' --trigger any --every 1 --sticky no --insertions 6 --patches 4 --feed no
}

# method NAME SEED METHOD KEY=VALUE...: trained from the chain in words
method() {
    local name=$1-$2 seed=$2 method=$3 sets=()
    [[ " $ways " = *" $1 "* ]] || return 0
    shift 3
    for key in "$@"; do sets+=(--set "$key"); done
    train "results/$name" compare -m "results/brief-$seed/model" -d hops:data/chains --set "method=$method" --set "seed=$seed" --set resume=6 "${sets[@]}"
    ask "$name" "$name"
}

[ -f data/sentences/data/made.json ] ||
    "$program" data make hops data/sentences --families arrows --train 16000 --dev 600 --test 3000 --seed 1

for seed in $seeds; do
    words "$seed"
    method direct "$seed" direct resume=0
    method direct-long "$seed" direct resume=0 max_updates=3200 # four times as many
    method coconut "$seed" coconut
    method ivt-lr "$seed" ivt-lr k_select=4
    # Besides picks2: latent steps of picks alone; and, in table 2, without both, so that stages do not differ and only the last
    # is trained
    method picks-only "$seed" ivt-lr k_select=2 latent_text=drop
    method neither "$seed" ivt-lr k_select=2 no_thoughts=true uniform_prob=0
    # the gradient through hidden states and picks
    method detached "$seed" ivt-lr k_select=4 latent_grad_full=false picks_grad_full=false
    # Table 3: fewer latent steps
    for stages in 1 2 3; do
        method "stages$stages" "$seed" ivt-lr k_select=4 "max_latent_stage=$stages"
    done
    # picks in each step
    for picks in 1 2 8; do
        method "picks$picks" "$seed" ivt-lr "k_select=$picks"
    done
done

# Tables of the existing results, a row for each way over its seeds.
groups=()
for name in $ways; do
    files=()
    for seed in $seeds; do
        [ -f "results/$name-$seed.done" ] && files+=("results/$name-$seed.jsonl")
    done
    [ ${#files[@]} = 0 ] || groups+=(--group "$name=$(IFS=,; echo "${files[*]}")")
done
"$program" eval table --form markdown "${groups[@]}" > results/tables.md
# Interventions on the steps of each seed's model.
for seed in $seeds; do
    [ -d "results/ivt-lr-$seed/model" ] && [ ! -f "results/probe-$seed.done" ] || continue
    "$program" eval probe -m "results/ivt-lr-$seed/model" -d hops:data/chains --split test --limit 1200 -n 12 -w "$(nproc)" -o "results/probe-$seed.jsonl" > "results/probe-$seed.txt"
    touch "results/probe-$seed.done"
done
