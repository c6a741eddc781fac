#!/usr/bin/env bash
# Builds a real OpenTelemetry Collector into the cache and prints its path. Nothing is done when it
# is there already; the first build takes about two minutes on two cores, 38 MB.
#
#   collector=$(deploy/dev/otel-collector.sh)
#
# It has an OTLP receiver, the batch processor and the Kafka exporter: otel-collector/main.go puts
# them together, go.mod and go.sum beside it pin every module by its checksum.
#
# The cache is $SENTINEL_CACHE, or ~/.cache/sentinel. Needs Go.
set -euo pipefail

source=$(cd "$(dirname "${BASH_SOURCE[0]}")/otel-collector" && pwd)
version=v0.155.0
recipe=$(cat "$source"/{main.go,go.mod,go.sum} | sha256sum | cut -c1-8)
bin="${SENTINEL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sentinel}/bin"
collector="$bin/otel-collector-$version-$recipe"

if [[ ! -x $collector ]]; then
  if ! command -v go >/dev/null; then
    echo "otel-collector.sh: Go is missing: install Go 1.25 or later, or put a collector $version at $collector" >&2
    exit 1
  fi
  mkdir -p "$bin"
  exec 9>"$bin/.otel-collector.lock" # who comes second waits for the first one's build
  flock 9
fi
if [[ ! -x $collector ]]; then
  scratch=$(mktemp -d "$bin/.otel-collector.XXXXXX") # beside its place, so that the move is atomic
  trap 'rm -rf "$scratch"' EXIT
  CGO_ENABLED=0 nice -n 15 go build -C "$source" -mod=readonly -buildvcs=false -trimpath \
    -ldflags '-s -w' -o "$scratch/built" . >&2
  mv "$scratch/built" "$collector"
fi
echo "$collector"
