#!/usr/bin/env bash
# Trains the default model: experiments/default.sh PROGRAM DIRECTORY
# Pictures, vocabulary and three runs go to DIRECTORY; DIRECTORY/think/model is the result. A run that was stopped
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

make lists --families list --train 40000 --dev 200 --test 0 --seed 2
make arrows --families arrows --train 160000 --dev 600 --test 3000 --seed 1
make words --train 4000 --dev 0 --test 0 --seed 1
make words-of-lists --families list --train 2000 --dev 0 --test 0 --seed 2
[ -d tokenizer ] || "$program" data vocab hops:words hops:words-of-lists -o tokenizer --size 600

train see -d hops:lists --set tokenizer=tokenizer
train follow -m see/model -d hops:arrows
train think -m follow/model -d hops:arrows
