#!/bin/sh
# `tenebra tokenize` as a program: answers line by line, errors in their place, exit codes.
#
#   tokenize.sh PROGRAM DATA      DATA holds tokenizer-small
set -u
program=$1
model=$2/tokenizer-small
failures=0

# expect NAME EXIT-CODE INPUT OUTPUT OPTION...   (standard output, byte for byte)
expect() {
    name=$1 code=$2 input=$3 output=$4
    shift 4
    found=$(printf '%b' "$input" | "$program" tokenize "$@" 2>/dev/null)
    status=$?
    if [ "$status" -ne "$code" ] || [ "$found" != "$(printf '%b' "$output")" ]; then
        printf '%s: exit code %s (expected %s), output:\n%s\n' "$name" "$status" "$code" "$found"
        failures=$((failures + 1))
    fi
}

expect 'text to ids' 0 '{"text": "A.<|latent|>"}\n' '{"ids":[32,13,656]}' -m "$model" --jsonl
expect 'added tokens as text' 0 '{"text": "<|im_end|>"}\n' \
    '{"ids":[27,91,72,76,62,309,67,91,29]}' -m "$model" --jsonl --no-special
expect 'ids to text' 0 '{"ids": [32, 13, 642]}\n' '{"text":"A.<|im_end|>"}' -m "$model" --jsonl
expect 'without special tokens' 0 '{"ids": [641, 32, 642], "skip_special": true}\n' '{"text":"A"}' -m "$model" --jsonl
expect 'part of a character' 0 '{"ids": [172]}\n' '{"text":"\\uFFFD"}' -m "$model" --jsonl
expect 'one answer a line' 0 '{"text": "A"}\n\n{"ids": [33]}\n{"text": ""}' \
    '{"ids":[32]}\n{"text":"B"}\n{"ids":[]}' -m "$model" --jsonl
expect 'an unknown id' 1 '{"ids": [1]}\n{"ids": [9999]}\n{"text": "A"}\n' \
    '{"text":"\\""}\n{"error":{"line":2,"code":"MISMATCH","where":"token ids","sentence":"id 9999 is not in the vocabulary, which has 0 to 656"}}\n{"ids":[32]}' \
    -m "$model" --jsonl
expect 'text for people' 0 '' \
    "      32  'A'\\n     198  '\\\\n'\\n     642  '<|im_end|>'  added token\\n3 tokens" \
    -m "$model" -p 'A
<|im_end|>'
expect 'text from standard input' 0 'AB' "      32  'A'\\n      33  'B'\\n2 tokens" -m "$model"
expect 'no such model' 1 '' '' -m "$model/none" -p x
expect 'an argument too many' 2 '' '' -m "$model" x
expect 'an unknown option' 2 '' '' -m "$model" --nothing
for request in '[1]' '{}' 'x' '{"text": 1}' '{"ids": [-1]}' '{"ids": [1.5]}' '{"ids": [], "text": ""}' \
    '{"ids": [], "skip_special": 1}' '{"text": "\ud800"}'; do
    found=$(printf '%s\n' "$request" | "$program" tokenize -m "$model" --jsonl)
    case "$?$found" in
    '1{"error":{"line":1,"code":"FORMAT",'*) ;;
    *)
        printf 'request %s: %s\n' "$request" "$found"
        failures=$((failures + 1))
        ;;
    esac
done
"$program" tokenize --help | grep -q -- '--jsonl' || failures=$((failures + 1))
[ "$failures" -eq 0 ]
