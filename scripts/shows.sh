#!/bin/sh
# Runs the tests named shows_<issue>_<n>_*, and prints what they show: the lines that they write to stdout as
# `SHOWS <issue>.<n> <what, with its figure>`. Everything that was printed goes to the file $1; what begins with $2 runs
# alone, after the others.
# Fails if a test fails, and if a number that tests are named after has no line.
set -u

log=$1
last=$2
status=0
mkdir -p "$(dirname "$log")"
cargo test --workspace --locked --no-fail-fast shows_ -- --nocapture --skip "$last" >"$log" 2>&1 || status=1
cargo test --locked --test it "$last" -- --nocapture >>"$log" 2>&1 || status=1

# The harness may have begun a line with a test's name, so the mark is looked for anywhere in it.
sed -n 's/^.*SHOWS \([0-9][0-9]*\.[0-9].*\)$/\1/p' "$log" | sort -t . -k 1,1n -k 2,2n >"$log.lines"
cat "$log.lines"

for shown in $(grep -o 'shows_[0-9]*_[0-9]*_' "$log" | sort -u | sed 's/shows_\(.*\)_\(.*\)_/\1.\2/'); do
    if ! grep -q "^$shown " "$log.lines"; then
        echo "make shows: a test is named after $shown, and none printed a line for it" >&2
        status=1
    fi
done

if [ "$status" -ne 0 ]; then
    grep -E '^test .*FAILED$|panicked at|^error' "$log" >&2
    echo "make shows: failed; everything that was printed is in $log" >&2
fi
exit "$status"
