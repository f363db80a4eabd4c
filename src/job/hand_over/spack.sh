#!/bin/sh
# Made by larder for one job: calls Spack with the job mirror before all other mirrors.
here=@BIN@
scope=@SCOPE@
spack=@SPACK@
if ! [ -f "$spack" ] || ! [ -x "$spack" ]; then
  # There was no Spack when this was made, or it is gone: the next one on the PATH.
  spack=
  set -f
  IFS=:
  for folder in ${PATH:-}; do
    file=$folder/spack
    if [ -f "$file" ] && [ -x "$file" ] && [ "$(cd "$folder" && pwd -P)" != "$here" ]; then
      spack=$file
      break
    fi
  done
  set +f
  unset IFS
  if [ -z "$spack" ] && [ -x "${SPACK_ROOT:-}/bin/spack" ]; then
    spack=$SPACK_ROOT/bin/spack
  fi
  if [ -z "$spack" ]; then
    echo "larder: found no Spack to call: none on the PATH but this one, and SPACK_ROOT leads to none" >&2
    exit 127
  fi
fi
if [ -d "$scope" ]; then
  exec "$spack" @OPTIONS@ "$@"
fi
exec "$spack" "$@"
