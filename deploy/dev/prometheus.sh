#!/usr/bin/env bash
# Builds a real Prometheus 3 into the cache and prints its path. Nothing is done when it is there
# already; the first build takes about three minutes on two cores, 48 MB.
#
#   prometheus=$(deploy/dev/prometheus.sh)
#
# Remote write 2.0 is why: what Debian has is older (deploy/dev/producers.sh). Without service
# discovery and web pages, which tests of what it sends have no use for.
#
# The cache is $SENTINEL_CACHE, or ~/.cache/sentinel. Needs Go.
set -euo pipefail

version=v0.312.0 # of the Go module; Prometheus 3.12
bin="${SENTINEL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sentinel}/bin"
prometheus="$bin/prometheus-$version"

if [[ ! -x $prometheus ]]; then
  if ! command -v go >/dev/null; then
    echo "prometheus.sh: Go is missing: install Go 1.25 or later, or put Prometheus 3 at $prometheus" >&2
    exit 1
  fi
  mkdir -p "$bin"
  exec 9>"$bin/.prometheus.lock" # who comes second waits for the first one's build
  flock 9
fi
if [[ ! -x $prometheus ]]; then
  scratch=$(mktemp -d "$bin/.prometheus.XXXXXX") # beside its place, so that the move is atomic
  trap 'rm -rf "$scratch"' EXIT
  cd "$scratch"
  # Its own go.mod excludes a version of another module, so `go install` would refuse it.
  go mod init scratch 2>/dev/null
  go get -tags remove_all_sd "github.com/prometheus/prometheus/cmd/prometheus@$version" >&2
  CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -tags remove_all_sd -o built \
    github.com/prometheus/prometheus/cmd/prometheus >&2
  mv built "$prometheus"
fi
echo "$prometheus"
