# For default.sh, chains.sh, results.sh, easy_vqa.sh and chameleon.sh, which set `program` and `recipes`.

# make NAME OPTIONS...: a data set, unless it exists
make() {
    local name=$1
    shift
    [ -f "data/$name/data/made.json" ] || "$program" data make hops "data/$name" "$@"
}

# train NAME RECIPE OPTIONS...: the run NAME of a recipe, or the rest of one that was stopped
train() {
    local name=$1 recipe=$2 more=()
    shift 2
    [ ! -d "$name/model" ] || return 0
    [ ! -d "$name/checkpoints" ] || more=(--resume)
    "$program" train "$recipes/$recipe.yaml" -o "$name" "${more[@]}" "$@"
}
