#!/bin/bash
# Measure a cold and a warm `larder prepare` against nginx on loopback, beside curl and sha256sum on the same blobs.
# usage: benches/warm_and_cold.sh [LOCKFILE] [SIZE_IN_MIB] [v3|v2] [ROUNDS]
# Needs nginx, curl and python3. Everything is in a temporary folder, below BENCH_DIR where that is set.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
lockfile=$(realpath "${1:-$root/tests/fixtures/lockfiles/llvm.lock}")
size=${2:-2030} layout=${3:-v3} rounds=${4:-5}
work=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/larder-bench.XXXXXX")
. "$root/benches/nginx.sh"

cd "$root"
cargo build --release --quiet --bin larder --example make_mirror
larder=${CARGO_TARGET_DIR:-$root/target}/release/larder
mkdir -p "$work/mirror" "$work/project" "$work/home"
"${CARGO_TARGET_DIR:-$root/target}/release/examples/make_mirror" "$lockfile" "$work/mirror" "$size" "$layout"

serve "$work/mirror"

cp "$lockfile" "$work/project/spack.lock"
printf 'spack:\n  specs: []\n' > "$work/project/spack.yaml"
printf 'mirrors: [{ name: bench, url: "%s", signed: false }]\nbuild-deps: all\n' "$url" > "$work/project/larder.yaml"

# The same blobs by other means: curl asks for all of them by name and checks nothing.
mkdir -p "$work/curl"
(cd "$work/mirror" && find . -type f \( -path './blobs/*' -o -name '*.spack' \) -printf '%P\n') |
  while read -r path; do printf 'url = "%s/%s"\noutput = "%s/%s"\n' "$url" "$path" "$work/curl" "${path##*/}"; done > "$work/curl.conf"

cd "$work/project"; export HOME=$work/home
# In turns, on a disk that has nothing else to write: what one leaves for the disk to do, the next would pay for.
for round in $(seq "$rounds"); do
  rm -rf "$work"/curl/* .larder; sync
  measure "curl --parallel, $round" curl -s --fail --parallel --parallel-max 8 --config "$work/curl.conf"
  rm -rf "$work"/curl/* .larder; sync
  measure "larder prepare, cold, $round" "$larder" prepare
done
"$larder" finish 2> /dev/null; rm -rf .larder/job
measure "larder prepare, warm" "$larder" prepare
measure "larder finish, warm" "$larder" finish
measure "larder plan, warm" "$larder" plan
measure "sha256sum, two at once" bash -c "find .larder/shared/blobs -type f | xargs -P 2 -n 4 sha256sum"
