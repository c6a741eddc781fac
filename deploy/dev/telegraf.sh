#!/usr/bin/env bash
# Builds a real Telegraf into the cache and prints its path. Nothing is done when it is there
# already; the first build takes two to four minutes on two cores, 31 MB.
#
#   telegraf=$(deploy/dev/telegraf.sh)
#
# With the plugins alone that tests of what it writes have use for: its own build tags leave the
# others out. Modules are checked against Go's checksum database, as Go does by itself.
#
# The cache is $SENTINEL_CACHE, or ~/.cache/sentinel. Needs Go.
set -euo pipefail

version=v1.37.2
plugins=(
  inputs.{cpu,http_listener_v2,internal,mem,net,system} outputs.{file,kafka} parsers.{influx,prometheus}
  serializers.{cloudevents,graphite,influx,json,prometheus,prometheusremotewrite}
)
tags=$(IFS=, && echo "custom,${plugins[*]}")
bin="${SENTINEL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sentinel}/bin"
telegraf="$bin/telegraf-$version-$(sha256sum <<<"$tags" | cut -c1-8)"

if [[ ! -x $telegraf ]]; then
  if ! command -v go >/dev/null; then
    echo "telegraf.sh: Go is missing: install Go 1.25 or later, or put Telegraf $version at $telegraf" >&2
    exit 1
  fi
  mkdir -p "$bin"
  exec 9>"$bin/.telegraf.lock" # who comes second waits for the first one's build
  flock 9
fi
if [[ ! -x $telegraf ]]; then
  scratch=$(mktemp -d "$bin/.telegraf.XXXXXX") # beside its place, so that the move is atomic
  trap 'rm -rf "$scratch"' EXIT
  CGO_ENABLED=0 GOBIN="$scratch" nice -n 15 go install -trimpath -ldflags '-s -w' -tags "$tags" \
    "github.com/influxdata/telegraf/cmd/telegraf@$version" >&2
  mv "$scratch/telegraf" "$telegraf"
fi
echo "$telegraf"
