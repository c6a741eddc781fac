#!/usr/bin/env bash
# Builds a real Open Policy Agent into the cache and prints its path. Nothing is done when it is
# there already; the first build takes about two minutes, 40 MB.
#
#   opa=$(deploy/dev/opa.sh)
#
# The cache is $SENTINEL_CACHE, or ~/.cache/sentinel. Needs Go.
set -euo pipefail

version=v1.22.2
bin="${SENTINEL_CACHE:-$HOME/.cache/sentinel}/bin"
opa="$bin/opa-$version"

if [[ ! -x $opa ]]; then
  if ! command -v go >/dev/null; then
    echo "opa.sh: Go is missing: install Go 1.24 or later, or put OPA $version at $opa" >&2
    exit 1
  fi
  mkdir -p "$bin"
  exec 9>"$bin/.opa.lock" # who comes second waits for the first one's build
  flock 9
fi
if [[ ! -x $opa ]]; then
  scratch=$(mktemp -d "$bin/.opa.XXXXXX") # beside its place, so that the move is atomic
  trap 'rm -rf "$scratch"' EXIT
  CGO_ENABLED=0 GOBIN="$scratch" \
    go install -trimpath -ldflags '-s -w' "github.com/open-policy-agent/opa@$version" >&2
  mv "$scratch/opa" "$opa"
fi
echo "$opa"
