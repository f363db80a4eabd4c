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
    cargo deny check advisories || echo "skipped: the advisory database can't be reached, or it has something to say (see above)"

# All tests; those with real Spack need `spack` on the PATH or LARDER_TEST_SPACK
test:
    cargo test --locked

# Accept what the snapshots show now
snapshots:
    INSTA_UPDATE=always cargo test --test cli

# Cold and warm runs beside curl and sha256sum; needs nginx
bench *arguments:
    benches/warm_and_cold.sh {{arguments}}
