# Made by larder for one job, to be sourced: `. .larder/job/env.sh`. Then every Spack that is called from this shell, or below it,
# by name or by path, looks into the job mirror first.
case ":$PATH:" in
  *:@BIN@:*) ;;
  *) export PATH=@BIN@":$PATH" ;;
esac
if [ "${SPACK_PYTHON:-}" != @PYTHON@ ]; then
  export LARDER_SPACK_PYTHON="${SPACK_PYTHON:-}"
  export SPACK_PYTHON=@PYTHON@
fi
