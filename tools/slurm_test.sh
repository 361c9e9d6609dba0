#!/usr/bin/env bash
# Usage: tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test.py]
#
# For the variables that it reads see slurm.sh.
set -euo pipefail

if [ $# -lt 4 ]; then
  echo 'usage: tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test.py]' >&2
  exit 2
fi
exec bash "$(dirname "$0")/slurm.sh" "$1" "$2" test.py "${@:3}"
