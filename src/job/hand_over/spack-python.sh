#!/bin/sh
# Made by larder for one job. Spack starts itself with the Python that SPACK_PYTHON names, however it was called: that is this
# file, which calls the real Python, and Spack with the job mirror before all other mirrors.
self=@SELF@
scope=@SCOPE@
for python in "${LARDER_SPACK_PYTHON:-}" python3 python python2 /usr/libexec/platform-python; do
  if [ -n "$python" ] && [ "$python" != "$self" ] && command -v "$python" > /dev/null; then
    case "${1:-}" in
      spack | */spack)
        if [ -d "$scope" ] && [ "${3:-}" != @FIRST@ ]; then
          program=$1
          shift
          set -- "$program" @OPTIONS@ "$@"
        fi
        ;;
    esac
    exec "$python" "$@"
  fi
done
echo "larder: found no Python to start Spack with" >&2
exit 127
