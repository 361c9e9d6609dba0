#!/usr/bin/env bash
# The rungs of the recipe on one data set, from scratch, each with the same number of images seen:
#   VIS_DATA=path/to/data/ tools/benchmarks/ladder.sh OUT [SEED ...]
# VIS_DATA holds train.json, valid.json and JPEGImages/. What is done already is skipped; the table is
# printed at the end and written to OUT/table.md. JOBS=2 trains two rungs at a time, a core each.
set -euo pipefail
cd "$(dirname "$0")/../.."

out=${1:?usage: tools/benchmarks/ladder.sh OUT [SEED ...]}
shift
seeds=${*:-0}
export VIS_DATA=${VIS_DATA:?set VIS_DATA to the folder with train.json, valid.json and JPEGImages/}
export VIS_IMAGES=$out/images.json PYTHON=${PYTHON:-python}
valid=${VIS_DATA%/}/valid.json
L=configs/ladder
mkdir -p "$out"
[ -f "$VIS_IMAGES" ] || "$PYTHON" tools/dataset_converters/vis_to_coco.py "$VIS_DATA/train.json" "$VIS_IMAGES" --every 2

train() { # RUNG SEED CONFIG...: the stages, then the results of the last one
  local dir=$out/$1/seed$2
  "$PYTHON" tools/train_stages.py "${@:3}" --work-dir "$dir" --cfg-options "randomness.seed=$2" \
    > "$out/$1.seed$2.log" 2>&1
  test_model "$1" "$2" "${@: -1}" "$1"
}

test_model() { # RUNG SEED CONFIG TRAINED [OPTION ...]: results of the model of rung TRAINED
  local results=$out/$1/seed$2/results.json work
  work=$(ls -d "$out/$4/seed$2/"[0-9]_* | sort | tail -n 1)
  mkdir -p "$out/$1/seed$2"
  [ -f "$results" ] || "$PYTHON" tools/test.py "$3" "$(cat "$work/last_checkpoint")" \
    --work-dir "$out/$1/seed$2/test" --out "$results" "${@:5}" >> "$out/$1.seed$2.log" 2>&1
}

for seed in $seeds; do
  rungs=(
    "a_stage-3 $seed $L/stage3.py"
    "b_stage-1 $seed $L/stage1.py $L/stage3_900.py"
    "c_stage-2 $seed $L/stage1.py $L/stage2.py $L/stage3_600.py"
    "e_other-backbone $seed $L/stage1_regnet.py $L/stage2_regnet.py $L/stage3_600_regnet.py"
    "f_no-embedding $seed $L/box_iou.py"
  )
  running=0
  for rung in "${rungs[@]}"; do
    # shellcheck disable=SC2086  # the words of a rung are arguments
    train $rung &
    running=$((running + 1))
    if [ "$running" -ge "${JOBS:-1}" ]; then
      wait -n
      running=$((running - 1))
    fi
  done
  wait

  test_model f_boxes-of-a "$seed" "$L/box_iou.py" a_stage-3
  for length in 1 10; do
    test_model "g_memory-$length-of-a" "$seed" "$L/stage3.py" a_stage-3 \
      --cfg-options "model.tracker.memory_len=$length"
  done
  test_model d_multi-scale "$seed" "$L/stage3_600.py" c_stage-2 --tta
  test_model d_multi-scale-suppress "$seed" "$L/stage3_600.py" c_stage-2 --tta \
    --cfg-options tta.merge_cfg.method=suppress
  test_model e_other-multi-scale "$seed" "$L/stage3_600_regnet.py" e_other-backbone --tta
  for method in suppress fuse; do
    merged=$out/e_ensemble-$method/seed$seed/results.json
    mkdir -p "$(dirname "$merged")"
    [ -f "$merged" ] || "$PYTHON" tools/analysis_tools/merge_results.py "$merged" \
      "$out/d_multi-scale/seed$seed/results.json" \
      "$out/e_other-multi-scale/seed$seed/results.json" --annotations "$valid" --method "$method"
  done
done

"$PYTHON" tools/benchmarks/ladder_table.py "$out" "$valid" | tee "$out/table.md"
