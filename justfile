# The recipes that CI runs; `just` alone lists them.

default:
    @just --list

# Everything that CI checks
all: format lint deny test

# Is the code formatted?
format:
    cargo fmt --check

# No warnings, in any target
lint:
    cargo clippy --all-targets --locked -- -D warnings

# Licences, sources and bans; known vulnerabilities where their database can be reached
deny:
    cargo deny check bans licenses sources
    if git ls-remote -q https://github.com/RustSec/advisory-db HEAD > /dev/null 2>&1; then cargo deny check advisories; else echo "skipped: the database of known vulnerabilities can't be reached"; fi

# All tests, and at the end those that were skipped; LARDER_TEST_REQUIRE names what must not be missing
test:
    @rm -f "${CARGO_TARGET_DIR:-target}/tmp/skipped"
    trap 'sort -u "${CARGO_TARGET_DIR:-target}/tmp/skipped" 2> /dev/null || true' EXIT; cargo test --locked

# Look at what snapshots show now, and accept it; needs cargo-insta
snapshots:
    cargo insta test --review

# Cold and warm runs beside curl and sha256sum; needs nginx
bench *arguments:
    benches/warm_and_cold.sh {{arguments}}

# A cold run from a mirror that limits each connection, with one connection and with eight; needs nginx
bench-limited *arguments:
    benches/limited_line.sh {{arguments}}
