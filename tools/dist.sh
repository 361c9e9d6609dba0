#!/usr/bin/env bash
# What dist_train.sh and dist_test.sh share: tools/dist.sh GPUS TOOL [its arguments]
#
# Runs GPUS processes on this machine, with NCCL, or with gloo where there is no GPU. For several
# machines run it on each, with NNODES, their number, NODE_RANK, 0 to NNODES - 1, and MASTER_ADDR,
# the address of the first; PORT if 29500 is taken.
set -euo pipefail

gpus=$1 tool=$2
shift 2

if [ "${NNODES:-1}" -eq 1 ] && [ -z "${PORT:-}" ]; then
  rendezvous=(--standalone) # on a free port
else
  rendezvous=(
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}"
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}"
  )
fi
# exec: signals are for the launcher, which hands them on.
exec "${PYTHON:-python}" -m torch.distributed.run "${rendezvous[@]}" \
  --nproc_per_node="$gpus" \
  "$(dirname "$0")/$tool" --launcher pytorch "$@"
