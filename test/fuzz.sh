#!/usr/bin/env bash
# Runs every fuzz target of the house for a short time each.
# Usage: test/fuzz.sh TIME (as go test -fuzztime takes it)
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-5s}
grep -rlE --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r dir; do
  for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | cut -c6- | sort -u); do
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$dir" >"${TMPDIR:-/tmp}/waxwing-fuzz.log" 2>&1 || {
      cat "${TMPDIR:-/tmp}/waxwing-fuzz.log"
      echo "fuzz: $dir $target failed"
      exit 1
    }
    echo "fuzz: ok $dir $target"
  done
done
