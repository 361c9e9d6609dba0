"""Replace the association of a result file by chance, to see what tracking is worth.

Every frame keeps its masks with their class scores; which identity a mask belongs to is drawn at
random. Score the file that is written with eval_vis.py.
"""

import argparse
import json

from mmvis_cl.errors import InputError, one_line_errors
from mmvis_cl.evaluation import check_results_alone, load_results, shuffle_identities
from mmvis_cl.files import whole_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('results', help='a result .json, or a submission .zip')
    parser.add_argument('out', help='the result .json to write')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    if args.seed < 0:
        raise InputError(f'--seed {args.seed}: must not be negative; give 0 or more')
    results = check_results_alone(load_results(args.results), args.results)
    shuffled = shuffle_identities(results, args.seed)
    with whole_file(args.out) as file:
        file.write(json.dumps(shuffled))
    print(f'{len(shuffled)} tracks written to {args.out}')


if __name__ == '__main__':
    with one_line_errors():
        main()
