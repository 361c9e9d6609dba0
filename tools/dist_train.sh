#!/usr/bin/env bash
# Usage: tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
#
# For the variables that it reads see dist.sh.
set -euo pipefail

if [ $# -lt 2 ]; then
  echo 'usage: tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]' >&2
  exit 2
fi
exec bash "$(dirname "$0")/dist.sh" "$2" train.py "$1" "${@:3}"
