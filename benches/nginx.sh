# Sourced by the benchmarks: nginx on loopback over a mirror, and a measurement of what a command costs and nginx sends.
# Sets `url`. Needs `work`, a folder that is removed together with nginx in the end.
# usage: serve MIRROR [RATE], such as 20m, the bytes a second of one connection

nginx_pid=
trap '[ -z "$nginx_pid" ] || kill "$nginx_pid" 2> /dev/null || true; rm -rf "$work"' EXIT

serve() {
  # A port that was free a moment ago. nginx can't be asked which one it took.
  local port
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  mkdir -p "$work/tmp"
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
  server { listen 127.0.0.1:$port; root $1; ${2:+limit_rate $2;} }
}
N
  # Where this runs as root, nginx's worker is another user, who must be able to read the mirror.
  chmod 755 "$work"
  nginx -c "$work/nginx.conf" -e "$work/error.log" &
  nginx_pid=$!
  url=http://127.0.0.1:$port
  for _ in $(seq 100); do curl -s -o /dev/null "$url/" && break; sleep 0.05; done
}

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
print(f"{name:<36} {seconds:8.3f} s {memory:8.1f} MiB of memory {sent:10.3f} MiB downloaded {len(lines):5} requests")
P
}
