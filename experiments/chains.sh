#!/usr/bin/env bash
# Trains the model of docs/results.md, which knows one wording: experiments/chains.sh PROGRAM DIRECTORY
# Images and vocabulary are in DIRECTORY/data, eight runs beside it; DIRECTORY/settle/model is the result. If a run was stopped,
# the same command continues it. docs/default-model.md describes what was learned from it.
set -euo pipefail

[ $# = 2 ] || { echo "usage: $0 PROGRAM DIRECTORY" >&2; exit 2; }
program=$(realpath "$1")
recipes=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)/default
. "$recipes/../runs.sh"
mkdir -p "$2/data"
cd "$2"

lists=(--families list --test 0)
make shapes "${lists[@]}" --hops 1-1 --train 6400 --seed 3
make own "${lists[@]}" --hops 1-3 --hints 0.5 --train 9600 --seed 11
make hinted "${lists[@]}" --hops 3-4 --hints 1 --train 4800 --seed 12
make colours "${lists[@]}" --hops 3-4 --hints 0.3 --train 16000 --seed 13
make pairs "${lists[@]}" --hops 5-5 --brief --train 8000 --seed 14
make chains --families arrows --brief --train 25600 --dev 600 --test 3000 --seed 1
make words --train 4000 --dev 0 --test 0 --seed 1
make words-of-lists --families list --hops 1-5 --train 2000 --dev 0 --test 0 --seed 2
[ -d tokenizer ] || "$program" data vocab hops:data/words hops:data/words-of-lists -o tokenizer --size 600

train see see -d hops:data/shapes --set tokenizer=tokenizer
train own lists -m see/model -d hops:data/own
# First the background of a cell shows what its arrow points to, then most cells do not show it, and the tower has to find it.
train hint lists -m own/model -d hops:data/hinted
train tower lists -m hint/model -d hops:data/colours --set 'trainable=visual.*'
# A new decoder learns to find objects by their colours, then to continue from the object it found.
train pairs chains -m tower/model -d hops:data/pairs --set 'fresh=model.*' --set init_std=0
train follow chains -m pairs/model -d hops:data/chains --set max_samples=16000 --set lr_scheduler_type=cosine --set seed=2
train think think -m follow/model -d hops:data/chains
# Then the tower is trained, too, and learns to separate similar colours.
train settle think -m think/model -d hops:data/chains --set freeze_vision_tower=false --set num_epochs=7 --set seed=4
