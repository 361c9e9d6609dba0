#!/usr/bin/env bash
# The main job on made-up videos: data, training, test, scores, curves. What is done already is
# skipped, an interrupted training goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python}
CONFIG=configs/vis_cl/small_moving-shapes.py
DATA=data/moving_shapes
WORK=work_dirs/demo

step() { printf '\n== %s\n' "$*"; }

step "1/5 data: $DATA"
"$PYTHON" tools/dataset_converters/make_moving_shapes.py --out "$DATA"

# .trained is written when the training has ended.
if [ -f "$WORK/.trained" ]; then
  step "2/5 training: done before; \`make distclean\` removes it"
else
  step "2/5 training: $CONFIG"
  "$PYTHON" tools/train.py "$CONFIG" --work-dir "$WORK" --resume
  touch "$WORK/.trained"
fi

step '3/5 test: tracks and videos'
if [ "$WORK/results.json" -nt "$WORK/.trained" ]; then
  echo 'done before'
else
  "$PYTHON" tools/test.py "$CONFIG" "$(cat "$WORK/last_checkpoint")" --work-dir "$WORK" \
    --out "$WORK/results.json" --show-dir "$WORK/videos"
fi

step '4/5 scores'
"$PYTHON" tools/analysis_tools/eval_vis.py "$WORK/results.json" "$DATA/valid.json" \
  --json "$WORK/scores.json"

step '5/5 curves'
"$PYTHON" tools/analysis_tools/plot_curves.py "$WORK" --out "$WORK/curves.png"

step 'done'
"$PYTHON" - "$WORK" <<'PY'
import json
import sys
from pathlib import Path

work = Path(sys.argv[1])
scores = json.loads((work / 'scores.json').read_text())
# The last validation of the training was of the same weights on the same videos: only rounding, by
# which a test is faster, may lie between the two.
lines = [
    json.loads(line)
    for path in work.glob('*/vis_data/scalars.json')
    for line in path.read_text().splitlines()
]
validated = max((line for line in lines if 'youtube_vis/AP' in line), key=lambda x: x['step'])
if abs(validated['youtube_vis/AP'] - scores['AP']) > 0.01:
    sys.exit(
        f'error: the validation at the end of the training says AP {validated["youtube_vis/AP"]:.3f}, '
        f'the test of the same weights {scores["AP"]:.3f}; please report it'
    )
videos = sorted((work / 'videos').glob('*.mp4'))
print(f'AP {scores["AP"]:.3f}, AP50 {scores["AP50"]:.3f}, AR10 {scores["AR10"]:.3f}')
print(f'scores  {work / "scores.json"}')
print(f'curves  {work / "curves.png"}')
print(f'videos  {len(videos)} in {work / "videos"}, the first: {videos[0]}')
PY
