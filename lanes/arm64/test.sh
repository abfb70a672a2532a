#!/bin/bash
# test.sh [short]: set the Arm64 lane up and run its tests; `short` is CI's share, of some minutes.
# Without qemu or the packages there is nothing to run: CI says so and goes on, the full lane fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LANE=${LANE:-$PWD/build/arm64} PYTHON=${PYTHON:-$PWD/.venv/bin/python}

if ! lanes/arm64/setup.sh "$LANE"; then
  echo "############ THE ARM64 LANE COULD NOT BE SET UP: nothing was tested on Arm64 ############"
  [ "${1:-}" = short ] && exit 0
  exit 1
fi
exec "$PYTHON" -m pytest -n "${JOBS:-2}" -o testpaths= ${1:+-m "not full"} lanes/arm64
