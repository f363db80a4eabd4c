#!/bin/bash
# Measure a cold and a warm `larder prepare` against nginx on loopback, beside curl and sha256sum on the same blobs.
# usage: benches/warm_and_cold.sh [LOCKFILE] [SIZE_IN_MIB] [v3|v2]
# Needs nginx, curl and python3. Everything is in a temporary folder, below BENCH_DIR where that is set.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
lockfile=$(realpath "${1:-$root/tests/fixtures/lockfiles/llvm.lock}")
size=${2:-2030} layout=${3:-v3}
work=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/larder-bench.XXXXXX")
nginx_pid=
trap '[ -z "$nginx_pid" ] || kill "$nginx_pid" 2> /dev/null || true; rm -rf "$work"' EXIT

cd "$root"
cargo build --release --quiet --bin larder --example make_mirror
larder=${CARGO_TARGET_DIR:-$root/target}/release/larder
mkdir -p "$work/mirror" "$work/project" "$work/home" "$work/tmp"
"${CARGO_TARGET_DIR:-$root/target}/release/examples/make_mirror" "$lockfile" "$work/mirror" "$size" "$layout"

# A port that was free a moment ago. nginx can't be asked which one it took.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > "$work/nginx.conf" <<N
daemon off;
pid $work/nginx.pid;
error_log $work/error.log;
worker_processes 1;
events { worker_connections 512; }
http {
  log_format bytes '\$status \$bytes_sent \$uri';
  access_log $work/access.log bytes;
  client_body_temp_path $work/tmp; proxy_temp_path $work/tmp; fastcgi_temp_path $work/tmp;
  uwsgi_temp_path $work/tmp; scgi_temp_path $work/tmp;
  sendfile on;
  server { listen 127.0.0.1:$port; root $work/mirror; }
}
N
# Where this runs as root, nginx's worker is another user, who must be able to read the mirror.
chmod 755 "$work"
nginx -c "$work/nginx.conf" -e "$work/error.log" &
nginx_pid=$!
url=http://127.0.0.1:$port
for _ in $(seq 100); do curl -s -o /dev/null "$url/" && break; sleep 0.05; done

cp "$lockfile" "$work/project/spack.lock"
printf 'spack:\n  specs: []\n' > "$work/project/spack.yaml"
printf 'mirrors: [{ name: bench, url: "%s", signed: false }]\nbuild-deps: all\n' "$url" > "$work/project/larder.yaml"

# Run a command, print seconds, the most memory it had (never less than the 14 MiB of the Python that starts it), and what
# nginx sent meanwhile.
measure() {
  local name=$1; shift
  : > "$work/access.log"
  python3 - "$name" "$work/access.log" "$@" <<'P'
import resource, subprocess, sys, time
name, log, *command = sys.argv[1:]
began = time.monotonic()
done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
seconds = time.monotonic() - began
if done.returncode:
    sys.exit(done.stderr.decode())
memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
lines = [line.split() for line in open(log)]
sent = sum(int(line[1]) for line in lines) / 2**20
print(f"{name:<28} {seconds:8.3f} s {memory:8.1f} MiB of memory {sent:10.3f} MiB downloaded {len(lines):5} requests")
P
}

cd "$work/project"; export HOME=$work/home
measure "larder prepare, cold" "$larder" prepare
"$larder" finish 2> /dev/null; rm -rf .larder/job
measure "larder prepare, warm" "$larder" prepare
measure "larder finish, warm" "$larder" finish
measure "larder plan, warm" "$larder" plan

# The same blobs by other means.
mkdir -p "$work/curl"
(cd "$work/mirror" && find . -type f \( -path './blobs/*' -o -name '*.spack' \) -printf '%P\n') |
  while read -r path; do printf 'url = "%s/%s"\noutput = "%s/%s"\n' "$url" "$path" "$work/curl" "${path##*/}"; done > "$work/curl.conf"
measure "curl --parallel" curl -s --fail --parallel --parallel-max 8 --config "$work/curl.conf"
measure "sha256sum, two at once" bash -c "ls $work/curl/* | xargs -P 2 -n 4 sha256sum"
