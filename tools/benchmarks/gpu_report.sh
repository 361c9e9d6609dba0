#!/usr/bin/env bash
# Everything that needs CUDA, in two halves of at most 4 minutes on one GPU, and the whole suite:
#
#   tools/benchmarks/gpu_report.sh [WHEELS] [REPORT.md] [1|2|suite]
#
# 1: tests marked cuda, frames a second of r50 beside the release's way, from file to file, attention.
# 2: Swin-L, compiled networks, training. suite: all tests, on all cores; it needs pytest-xdist.
# Without the third argument both halves.
# WHEELS is a folder of wheels for PYTHON (default: PIP_FIND_LINKS), which are unpacked beside what
# is installed; leave it out, or give '', where all is installed. REPORT.md is $OUT/gpu_report.md by
# default, or work_dirs/gpu_report.md without OUT. The exit code is 1 if a part failed.
#
#   On a GPU machine of your own:      PYTHON=.venv/bin/python tools/benchmarks/gpu_report.sh
#   The same in small without a GPU:   DEVICE=cpu PYTHON=.venv/bin/python tools/benchmarks/gpu_report.sh
#
# On a machine that reaches no package index, with PyTorch 2.11 and Python 3.12 on it, carry these
# as wheels (45 MB) in a folder .whl that git ignores; what else is needed is in any such image:
#
#   pip wheel --no-deps -w .whl onedl-mmdetection==3.5.1 onedl-mmengine==0.10.12 imaug==0.4.3 \
#     addict yapf termcolor terminaltables supervision==0.31.2 pydeprecate defusedxml \
#     pytest-xdist execnet pytest-timeout
#   pip download --no-deps --only-binary=:all: --python-version 3.12 --platform \
#     manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 -d .whl av shapely pycocotools==2.0.11
#   cp FOLDER/onedl_mmcv-2.3.6-cp312-*.whl .whl     # with CUDA ops: `make ops` makes it
#   tools/benchmarks/gpu_report.sh .whl
set -euo pipefail
cd "$(dirname "$0")/../.."

PYTHON=${PYTHON:-python3}
wheels=${1-${PIP_FIND_LINKS:-}}
report=${2:-${OUT:-work_dirs}/gpu_report.md}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
if [ -n "$wheels" ]; then
  site=$(mktemp -d)
  trap 'rm -rf "$site"' EXIT
  # by name, so that pip takes the wheels for this Python where there are others as well
  names=$(cd "$wheels" && for file in *.whl; do echo "${file%%-*}"; done | sort -u)
  # shellcheck disable=SC2086
  "$PYTHON" -m pip install -q --disable-pip-version-check --no-index --no-deps --no-compile \
    --no-cache-dir --find-links "$wheels" --target "$site" $names
  export PYTHONPATH="$site:$PYTHONPATH"
fi
mkdir -p "$(dirname "$report")"
"$PYTHON" tools/benchmarks/gpu_report.py --device "${DEVICE:-cuda}" --out "$report" ${3:+--only "$3"}
