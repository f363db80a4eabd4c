#!/bin/bash
# Measure a cold `larder prepare` on a mirror that limits each connection, with one connection and with eight.
# usage: benches/limited_line.sh [RATE] [LOCKFILE] [SIZE_IN_MIB], such as 20m, as nginx spells it
# With `one` as LOCKFILE, the mirror holds a single blob.
# Needs nginx, curl and python3. Everything is in a temporary folder, below BENCH_DIR where that is set.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
rate=${1:-20m} lockfile=${2:-$root/tests/fixtures/lockfiles/llvm.lock} size=${3:-2030}
work=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/larder-bench.XXXXXX")
. "$root/benches/nginx.sh"

cd "$root"
cargo build --release --quiet --bin larder --example make_mirror
target=${CARGO_TARGET_DIR:-$root/target}/release
mkdir -p "$work/mirror" "$work/project" "$work/home"
if [ "$lockfile" = one ]; then
  python3 - "$root/tests/fixtures/lockfiles/llvm.lock" "$work/project/spack.lock" <<'P'
import json, sys
lock = json.load(open(sys.argv[1]))
leaf = next((h, s) for h, s in lock["concrete_specs"].items() if "external" not in s and not s.get("dependencies"))
lock["roots"] = [{"hash": leaf[0], "spec": leaf[1]["name"]}]
lock["concrete_specs"] = dict([leaf])
json.dump(lock, open(sys.argv[2], "w"))
P
else
  cp "$lockfile" "$work/project/spack.lock"
fi
printf 'spack:\n  specs: []\n' > "$work/project/spack.yaml"
"$target/examples/make_mirror" "$work/project/spack.lock" "$work/mirror" "$size"
serve "$work/mirror" "$rate"

cd "$work/project"; export HOME=$work/home
for connections in 1 8; do
  rm -rf .larder
  printf 'mirrors: [{ name: bench, url: "%s", signed: false }]\nbuild-deps: all\nnetwork: { connections: %s }\n' \
    "$url" "$connections" > larder.yaml
  measure "prepare, $rate/s, connections: $connections" "$target/larder" prepare
done
