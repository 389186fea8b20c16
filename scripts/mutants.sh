#!/bin/sh
# Shows that the simulation can fail: each patch under tests/mutants breaks one promise in a copy of the sources, and the
# checker must find that in the first seeds; with empty.patch it finds nothing. $1: the one to try (all of them).
# Prints a line for each: caught at which seed, by which promise. The copies share the target directory, so each costs what
# changed. A patch that does not apply, a mutant that does not compile, and one that fails otherwise, fail.
set -u

root=$(pwd)
tree=$root/target/mutants/tree
log=$root/target/mutants/log
only=${1:-}
# Of these the first ones are in every weather; they are enough for each mutant, and quick.
SEEDS=${SEEDS:-60}
export SEEDS
export CARGO_TARGET_DIR="$root/target"
# A mutant is compiled once and runs for seconds.
export CARGO_PROFILE_DEV_OPT_LEVEL=0 CARGO_PROFILE_DEV_DEBUG=false
# A copy is no part of the repository around it.
export GIT_CEILING_DIRECTORIES="$root/target/mutants"
unset SEED
status=0

rm -rf "$tree"
mkdir -p "$tree" "$log"
git ls-files --cached --others --exclude-standard | while IFS= read -r file; do
    # One that is deleted and not committed is still listed.
    [ ! -e "$file" ] || echo "$file"
done | tar -cf - -T - | tar -xf - -C "$tree" || exit 1

fails() {
    echo "mutants: $1" >&2
    status=1
}

try() {
    name=$(basename "$1" .patch)
    if grep -q '^--- ' "$1"; then
        if ! (cd "$tree" && git apply "$1") 2>"$log/$name"; then
            fails "$name: the patch does not apply any more: $(head -n 1 "$log/$name")"
            return
        fi
    fi
    if ! (cd "$tree" && cargo test --locked --lib --no-run) >"$log/$name" 2>&1; then
        fails "$name: it does not compile: see $log/$name"
    else
        if (cd "$tree" && cargo test --locked --lib shows_4_4_) >>"$log/$name" 2>&1; then
            [ "$name" = empty ] && echo "$name: nothing is found in $SEEDS seeds" || fails "$name: it is not caught in $SEEDS seeds"
        else
            found=$(sed -n 's/^VIOLATION seed \([0-9]*\): promise \([0-9]*\): \(.*\)$/caught at seed \1 by promise \2: \3/p' "$log/$name" | head -n 1)
            if [ "$name" = empty ] || [ -z "$found" ]; then
                fails "$name: it fails, and the checker has found nothing: see $log/$name"
            else
                echo "$name: $found"
            fi
        fi
    fi
    if grep -q '^--- ' "$1"; then
        (cd "$tree" && git apply -R "$1") || exit 1
    fi
}

for patch in "$root"/tests/mutants/empty.patch "$root"/tests/mutants/*.patch; do
    name=$(basename "$patch" .patch)
    [ -z "$only" ] || [ "$only" = "$name" ] || continue
    # It comes first.
    [ "$name" != empty ] || [ -z "${empty_done:-}" ] || continue
    [ "$name" != empty ] || empty_done=1
    try "$patch"
done
[ "$status" -eq 0 ] && echo "make mutants: all are caught"
exit "$status"
