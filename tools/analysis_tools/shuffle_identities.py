"""Replace the association of a result file by chance, to see what tracking is worth.

Every frame keeps its masks with their class scores; which identity a mask belongs to is drawn at
random. Score the file that is written with eval_vis.py.
"""

import argparse
import json
from pathlib import Path

from mmvis_cl.errors import InputError
from mmvis_cl.evaluation import load_results, shuffle_identities


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('results', help='a result .json, or a submission .zip')
    parser.add_argument('out', help='the result .json to write')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    try:
        shuffled = shuffle_identities(load_results(args.results), args.seed)
    except InputError as error:
        parser.exit(2, f'error: {error}\n')
    Path(args.out).write_text(json.dumps(shuffled))
    print(f'{len(shuffled)} tracks written to {args.out}')


if __name__ == '__main__':
    main()
