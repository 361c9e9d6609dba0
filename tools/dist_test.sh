#!/usr/bin/env bash
# Usage: tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]
#
# For the variables that it reads see dist.sh.
set -euo pipefail

if [ $# -lt 3 ]; then
  echo 'usage: tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]' >&2
  exit 2
fi
exec bash "$(dirname "$0")/dist.sh" "$3" test.py "$1" "$2" "${@:4}"
