#!/usr/bin/env bash
# Unpacks real producers from Debian or Ubuntu into the cache and prints their folder: rsyslog,
# syslog-ng and collectd with their Kafka outputs, Prometheus, node_exporter. Ten seconds, 100 MB;
# nothing is done when they are there already.
#
#   folder=$(deploy/dev/producers.sh)
#   LD_LIBRARY_PATH=$folder/libraries "$folder/usr/sbin/rsyslogd" ...
#
# Nothing is installed and no service starts, so root is not needed, and rsyslog and syslog-ng,
# which exclude each other as packages, lie side by side. An archive serves only its newest
# builds, so the folder is named by the release they are from and `packages.txt` in it says which.
#
# The cache is $SENTINEL_CACHE, or ~/.cache/sentinel. Needs apt.
set -euo pipefail

# In two, because a package of one excludes a package of the other.
sets=(
  "rsyslog rsyslog-kafka collectd-core librdkafka1 libyajl2 prometheus prometheus-node-exporter"
  "syslog-ng-core syslog-ng-mod-rdkafka"
)
unpacked='^(lib|zlib1g|rsyslog|collectd|prometheus|syslog-ng)' # not debconf, adduser, fonts and the like
machine='^(libc6|libc-bin|libgcc-s1|libcrypt1|libjs-.*|lib.*perl.*|libpam.*)_' # its own, or of no use

fail() {
  echo "producers.sh: $1" >&2
  exit 1
}

cache="${SENTINEL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sentinel}"
[[ -r /etc/os-release ]] || fail "this is no Debian or Ubuntu: run the tests of real producers on one"
release=$(. /etc/os-release && echo "${ID:-linux}-${VERSION_ID:-none}")
recipe=$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-8)
folder="$cache/producers-$release-$recipe"

if [[ -d $folder ]]; then
  echo "$folder"
  exit
fi
for tool in apt-get dpkg-deb; do
  command -v $tool >/dev/null || fail "$tool is missing: run the tests of real producers on Debian or Ubuntu"
done
mkdir -p "$cache"
exec 9>"$cache/.producers.lock" # who comes second waits for the first one's download
flock 9

if [[ ! -d $folder ]]; then
  scratch=$(mktemp -d "$cache/.producers.XXXXXX") # beside its place, so that the move is atomic
  trap 'rm -rf "$scratch"' EXIT
  mkdir -p "$scratch"/{debs,lists/partial,apt/archives/partial,root}
  : >"$scratch/status" # as if nothing were installed: what is, is looked for and named too
  apt=(apt-get -qq -o "Dir::State::status=$scratch/status")

  packages() { # names of the files that the sets need, one a line
    local set
    for set in "${sets[@]}"; do
      # shellcheck disable=SC2086 # a set is words
      "${apt[@]}" install --print-uris --no-install-recommends --yes $set || return
    done | awk '{print $2}' | grep -E "$unpacked" | grep -vE "$machine" | sort -u
  }

  download() {
    packages >"$scratch/packages.txt" &&
      (cd "$scratch/debs" && cut -d_ -f1 "$scratch/packages.txt" | xargs "${apt[@]}" download)
  }

  if ! download 2>"$scratch/said"; then # this machine's lists are empty or old: lists of our own
    apt+=(-o "Dir::State::lists=$scratch/lists" -o "Dir::Cache=$scratch/apt")
    { "${apt[@]}" update && download; } >"$scratch/said" 2>&1 ||
      fail "apt cannot serve them: $(grep -m1 -E '^(W: Failed|E:)' "$scratch/said" || tail -n1 "$scratch/said")"
  fi

  for deb in "$scratch"/debs/*.deb; do
    dpkg-deb --extract "$deb" "$scratch/root"
  done
  cd "$scratch/root"
  rm -rf usr/share/{doc,man,locale,lintian} usr/bin/{promtool,pdbtool,loggen}
  mv "$scratch/packages.txt" .
  # One folder that the loader is told of, whatever the architecture's is called.
  mkdir libraries
  find usr/lib lib -name '*.so.*' -exec cp -Pn {} libraries/ \;
  mv "$scratch/root" "$folder"
fi
echo "$folder"
