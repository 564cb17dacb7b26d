#!/usr/bin/env bash
# Measures Waxwing and its peers side by side and prints the tables of
# docs/performance.md. Needs root for the peers.
set -euo pipefail
cd "$(dirname "$0")/../.."
echo "$(nproc) cores, $(awk '/MemTotal/ {printf "%.0f GiB", $2/1048576}' /proc/meminfo), $(uname -sr), $(go version | cut -d' ' -f3), $(date -u +%F)"
go test -count=1 -tags bench -v -timeout 60m -run "${1:-.}" ./test/bench/ | grep -E '^\s+\S+_test.go|^(---|FAIL|ok|PASS)' | sed -E 's/^\s+\S+_test.go:[0-9]+: //'
