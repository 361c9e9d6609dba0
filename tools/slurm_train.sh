#!/usr/bin/env bash
# Usage: tools/slurm_train.sh PARTITION JOB_NAME CONFIG [arguments of tools/train.py]
#
# For the variables that it reads see slurm.sh.
set -euo pipefail

if [ $# -lt 3 ]; then
  echo 'usage: tools/slurm_train.sh PARTITION JOB_NAME CONFIG [arguments of tools/train.py]' >&2
  exit 2
fi
exec bash "$(dirname "$0")/slurm.sh" "$1" "$2" train.py "${@:3}"
