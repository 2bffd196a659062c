#!/usr/bin/env bash
# Trains the default model: experiments/default.sh PROGRAM DIRECTORY
# Images and vocabulary are in DIRECTORY/data, the runs beside it; DIRECTORY/settle/model is the result. If a run was stopped, the
# same command continues it. docs/default-model.md describes the result.
set -euo pipefail

[ $# = 2 ] || { echo "usage: $0 PROGRAM DIRECTORY" >&2; exit 2; }
program=$(realpath "$1")
recipes=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)/default
. "$recipes/../runs.sh"
mkdir -p "$2/data"
cd "$2"

# The published weights were made with this kernel set; others give other bits.
! grep -qx avx512 <<<"$("$program" bench --list-kernels)" || export TENEBRA_KERNELS=avx512

lists=(--families list --test 0)
asked=(--families arrows,sight --brief --wordings wide --test 0)
make shapes "${lists[@]}" --hops 1-1 --train 6400 --seed 3
make own "${lists[@]}" --hops 1-3 --hints 0.5 --train 9600 --seed 11
make hinted "${lists[@]}" --hops 1-4 --hints 1 --train 9600 --seed 12
make looks "${lists[@]}" --hops 1-4 --hints 0.3 --train 25600 --seed 13
make pairs "${lists[@]}" --hops 5-5 --brief --train 8000 --seed 14
make worn "${lists[@]}" --hops 5-10 --brief --varied --train 80000 --seed 15
make chains --families arrows --brief --train 25600 --dev 600 --test 3000 --seed 1
make asked "${asked[@]}" --varied --train 48000 --dev 600 --seed 21
make thought "${asked[@]}" --varied --train 64000 --dev 0 --seed 22
make settled "${asked[@]}" --train 64000 --dev 0 --seed 23
make words --train 4000 --dev 0 --test 0 --seed 1
make words-of-lists --families list --hops 1-10 --train 4000 --test 0 --seed 2
# The vocabulary of the data sets and of common words, so that words that occur in no training question are whole tokens, too.
# Text is converted to lower case.
[ -d tokenizer ] ||
    "$program" data vocab hops:data/words hops:data/words-of-lists "hops:$recipes/words" -o tokenizer --size 4000
grep -q Lowercase tokenizer/tokenizer.json ||
    sed -i 's/"type": "NFC"/"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]/' tokenizer/tokenizer.json

train see see -d hops:data/shapes --set tokenizer=tokenizer
# Plain frames around images are removed, here and in all models that follow.
grep -q trim_frame see/model/preprocessor_config.json || sed -i '1s/{/{\n  "trim_frame": true,/' see/model/preprocessor_config.json
train own lists -m see/model -d hops:data/own
# First the background of every cell shows what its arrow points to, then most cells do not show it, and only the tower is
# trained.
train hint lists -m own/model -d hops:data/hinted
train tower lists -m hint/model -d hops:data/looks --set 'trainable=visual.*'
# A new decoder learns to find objects by their colours, then everything that an image shows, in varied images, then to
# continue from the object it found.
train pairs chains -m tower/model -d hops:data/pairs --set 'fresh=model.*' --set init_std=0
train wear chains -m pairs/model -d hops:data/worn --set freeze_vision_tower=false --set lr=8e-4 --set lr_scheduler_type=cosine --set image_size=112x112
train follow chains -m wear/model -d hops:data/chains --set max_samples=8000 --set lr_scheduler_type=cosine --set seed=2
# Natural wordings: in words, then with latent steps; finally only the decoder, on plain images, at a small learning
# rate, without the kinds of questions that were not learned.
ask=(--set prompt=verbatim --set val_prompt=brief --set image_size=112x112 --set num_epochs=7)
learned=arrows-1,arrows-2,arrows-3,arrows-4,arrows-5,arrows-6,sight-2,sight-3
train speak speak -m follow/model -d hops:data/asked
train think think -m speak/model -d hops:data/thought "${ask[@]}" --set uniform_prob=0.7 --set freeze_vision_tower=false --set lr=5e-4 --set max_updates=1400 --set seed=4
train settle think -m think/model -d hops:data/settled "${ask[@]}" --set "topics=$learned" --set uniform_prob=0.6 --set lr=1e-4 --set warmup_steps=100 --set max_updates=1200 --set seed=6
cp "$recipes/scope.json" settle/model/
