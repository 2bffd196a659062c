#!/usr/bin/env bash
# Trains the default model: experiments/default.sh PROGRAM DIRECTORY
# Pictures, vocabulary and five runs go to DIRECTORY; DIRECTORY/think/model is the result. A run that was stopped
# goes on when the same command is given again. docs/default-model.md tells what comes out.
set -euo pipefail

[ $# = 2 ] || { echo "usage: $0 PROGRAM DIRECTORY" >&2; exit 2; }
program=$(realpath "$1")
recipes=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)/default
mkdir -p "$2"
cd "$2"

# make NAME OPTIONS...: a set, unless it is there
make() {
    [ -f "$1/data/made.json" ] || "$program" data make hops "$@"
}

# train NAME OPTIONS...: a run, or the rest of one
train() {
    local name=$1 more=()
    shift
    [ ! -d "$name/model" ] || return 0
    [ ! -d "$name/checkpoints" ] || more=(--resume)
    "$program" train "$recipes/$name.yaml" -o "$name" "${more[@]}" "$@"
}

make shapes --families list --hops 2-2 --train 6400 --dev 100 --test 0 --seed 3
make own-lists --families list --hops 1-3 --train 12000 --dev 120 --test 0 --seed 11
make lists --families list --hops 1-5 --train 40000 --dev 240 --test 0 --seed 12
make arrows --families arrows --train 160000 --dev 600 --test 3000 --seed 1
make words --train 4000 --dev 0 --test 0 --seed 1
make words-of-lists --families list --train 2000 --dev 0 --test 0 --seed 2
[ -d tokenizer ] || "$program" data vocab hops:words hops:words-of-lists -o tokenizer --size 600

train see -d hops:shapes --set tokenizer=tokenizer
train own -m see/model -d hops:own-lists
train next -m own/model -d hops:lists
train follow -m next/model -d hops:arrows
train think -m follow/model -d hops:arrows
