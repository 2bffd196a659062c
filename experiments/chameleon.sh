#!/usr/bin/env bash
# A small model of Chameleon's architecture, trained from scratch on hops: experiments/chameleon.sh PROGRAM DIRECTORY [SEEDS]
# Its image codes are fixed (chameleon_codes.py, which requires numpy and Pillow; PYTHON names another interpreter). All seeds share
# the runs see and pairs; for each of SEEDS (default "1 2 3"), brief learns chains with one word per step, and each method goes on
# from there. Answers to 3,000 test questions are in DIRECTORY/results. If it was stopped, the same command continues it.
set -euo pipefail

[ $# = 2 ] || [ $# = 3 ] || { echo "usage: $0 PROGRAM DIRECTORY [SEEDS]" >&2; exit 2; }
program=$(realpath "$1")
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
recipes=$here/chameleon
. "$here/runs.sh"
seeds=${3:-1 2 3}
mkdir -p "$2/data" "$2/results"
cd "$2"

# ask NAME: answers of a run to the test questions
ask() {
    [ -f "results/$1.done" ] && return 0
    "$program" eval -m "$1/model" -d hops:data/chains --split test -w "$(nproc)" --parallel 16 -o "results/$1.jsonl"
    touch "results/$1.done"
}

# The ground of every object has the colour of the object that its arrow points to, so that one code shows a whole step.
lists=(--families list --hints 1 --brief --dev 0 --test 0)
make see "${lists[@]}" --hops 3-4 --train 6400 --seed 15
make pairs "${lists[@]}" --hops 5-5 --train 9600 --seed 14
make chains --families arrows --hints 1 --brief --train 25600 --dev 600 --test 3000 --seed 1
make sentences --families arrows --hints 1 --train 16000 --dev 600 --test 3000 --seed 1
make words --train 4000 --dev 0 --test 0 --seed 1
make words-of-lists --families list --hops 1-5 --train 2000 --dev 0 --test 0 --seed 2
[ -d tokenizer ] || "$program" data vocab hops:data/words hops:data/words-of-lists -o tokenizer --size 600
[ -f codes/model.safetensors ] || "${PYTHON:-python3}" "$here/chameleon_codes.py" data/pairs/data/images tokenizer codes

train see see -m codes -d hops:data/see --set 'fresh=model.layers.*,model.norm.*' --set init_std=0
train pairs see -m see/model -d hops:data/pairs --set seed=2
for seed in $seeds; do
    train "brief-$seed" compare -m pairs/model -d hops:data/chains --set max_updates=300 --set lr=1e-3 --set "seed=$seed"
    train "coconut-$seed" compare -m "brief-$seed/model" -d hops:data/chains --set method=coconut --set resume=6 --set "seed=$seed"
    train "ivt-lr-$seed" compare -m "brief-$seed/model" -d hops:data/chains --set method=ivt-lr --set k_select=4 --set resume=6 --set "seed=$seed"
    train "direct-$seed" compare -m "brief-$seed/model" -d hops:data/chains --set method=direct --set "seed=$seed"
    train "cot-$seed" compare -m "brief-$seed/model" -d hops:data/sentences --set prompt=words --set "seed=$seed"
    for method in coconut ivt-lr direct cot; do
        ask "$method-$seed"
    done
done

groups=()
for method in direct cot coconut ivt-lr; do
    files=()
    for seed in $seeds; do
        files+=("results/$method-$seed.jsonl")
    done
    groups+=(--group "$method=$(IFS=,; echo "${files[*]}")")
done
"$program" eval table --form markdown "${groups[@]}" | tee results/tables.md
