#!/usr/bin/env bash
# What slurm_train.sh and slurm_test.sh share: tools/slurm.sh PARTITION JOB_NAME TOOL [its arguments]
#
# GPUS (8) processes, GPUS_PER_NODE (8) on each machine, with CPUS_PER_TASK (5) cores each.
# SRUN_ARGS holds further arguments of srun.
set -euo pipefail

partition=$1 job_name=$2 tool=$3
shift 3
gpus=${GPUS:-8}
gpus_per_node=${GPUS_PER_NODE:-8}
if [ "$gpus_per_node" -gt "$gpus" ]; then gpus_per_node=$gpus; fi

# SRUN_ARGS is left unquoted: it may hold several arguments.
# shellcheck disable=SC2086
exec srun --partition="$partition" \
  --job-name="$job_name" \
  --gres=gpu:"$gpus_per_node" \
  --ntasks="$gpus" \
  --ntasks-per-node="$gpus_per_node" \
  --cpus-per-task="${CPUS_PER_TASK:-5}" \
  --kill-on-bad-exit=1 \
  ${SRUN_ARGS:-} \
  "${PYTHON:-python}" -u "$(dirname "$0")/$tool" --launcher slurm "$@"
