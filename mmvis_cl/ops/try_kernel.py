"""Tries a compiled kernel with known numbers, in a process of its own: a script, never imported.

A library that crashes, hangs or computes wrong numbers shows it here, and not in the process that
trains or tracks. kernel_cache.py starts this before each first use, so that it imports ctypes only
and takes 0.05 s. It ends with the exit status ``RIGHT``, or says in a line what is wrong.

``python -I -S try_kernel.py LIBRARY CHANNELS LEVELS POINTS [LIBRARY_TO_LOAD_BEFORE ...]``
"""

import ctypes
import math
import resource
import sys
from array import array

RIGHT = 42  # not 0, with which a library can end the process
HEADS = 2
SECONDS = 20  # of a CPU
STEP = 1e-3


def spread(count: int, low: float, high: float) -> array:
    """Numbers between two others, in no order (multiples of the golden ratio)."""
    return array('f', (low + (high - low) * (i * 0.6180339887 % 1) for i in range(1, count + 1)))


def definition(
    value: array | list[float],
    sizes: list[tuple[int, int]],
    projected: array | list[float],
    reference: array | list[float],
    channels: int,
) -> list[float]:
    """What the kernel computes for one query: see sample_levels.c."""
    points = len(projected) // (3 * HEADS)
    per_level, coordinates = points // len(sizes), len(reference) // len(sizes)
    starts = [sum(w * h for w, h in sizes[:level]) for level in range(len(sizes))]
    sums: list[float] = []
    for head in range(HEADS):
        x, y, logits = (projected[(i * HEADS + head) * points :][:points] for i in range(3))
        powers = [math.exp(logit) for logit in logits]
        total = [0.0] * channels
        for p in range(points):
            level = p // per_level
            w, h = sizes[level]
            center_x, center_y, *box = reference[level * coordinates :][:coordinates]
            along_x, along_y = 1.0, 1.0
            if box:
                along_x, along_y = box[0] * w / (2 * per_level), box[1] * h / (2 * per_level)
            at_x, at_y = x[p] * along_x + center_x * w - 0.5, y[p] * along_y + center_y * h - 0.5
            for row in (math.floor(at_y), math.floor(at_y) + 1):
                for column in (math.floor(at_x), math.floor(at_x) + 1):
                    if not (0 <= row < h and 0 <= column < w):
                        continue
                    share = (1 - abs(at_x - column)) * (1 - abs(at_y - row))
                    share *= powers[p] / sum(powers)
                    first = ((starts[level] + row * w + column) * HEADS + head) * channels
                    for i in range(channels):
                        total[i] += share * value[first + i]
        sums += total
    return sums


def dot(a: array | list[float], b: array | list[float]) -> float:
    """The sum of the products."""
    return sum(x * y for x, y in zip(a, b, strict=True))


def near(found: float, expected: float, tolerance: float = 1e-4) -> bool:
    """Whether a number is what it should be, but for rounding."""
    return abs(found - expected) <= tolerance * max(1, abs(expected))  # False for a NaN


def wrong(kernel: ctypes.CDLL, channels: int, levels: int, points: int, coordinates: int) -> str:
    """What is wrong with the sums and gradients of one query; '' if nothing is."""
    sizes = [(3 + level % 2, 2 + level % 3) for level in range(levels)]  # width, height
    pixels, per_level = sum(w * h for w, h in sizes), points // levels
    value = spread(pixels * HEADS * channels, -1, 1)
    grad = spread(HEADS * channels, 1, -1)
    reference = spread(levels * coordinates, 0.3, 0.7)
    projected = spread(3 * HEADS * points, -2, 2)
    # Places between two pixels, some of them half outside: a difference of STEP crosses no pixel.
    between = spread(2 * HEADS * points, 0.2, 0.8)
    for i in range(2 * HEADS * points):
        axis, level = i // (HEADS * points), i % points // per_level
        side, at = sizes[level][axis], reference[level * coordinates :][:coordinates]
        along = at[2 + axis] * side / (2 * per_level) if coordinates == 4 else 1
        projected[i] = (i % (side + 1) - 1 + between[i] - (at[axis] * side - 0.5)) / along

    size = array('f', [w for w, _ in sizes] + [h for _, h in sizes])
    start = array('i', [sum(w * h for w, h in sizes[:level]) for level in range(levels)])
    sums = array('f', bytes(4 * len(grad)))
    value_grad = array('f', bytes(4 * len(value)))
    projected_grad = array('f', bytes(4 * len(projected)))
    of_heads = array('f', bytes(4 * HEADS * len(reference)))

    def call(function: 'ctypes._NamedFuncPointer', *arrays: array) -> None:
        given = [ctypes.c_void_p(a.buffer_info()[0]) for a in arrays]
        numbers = 1, pixels, 1, HEADS, coordinates, 1
        function.restype = None
        function(*given, *map(ctypes.c_int64, numbers))

    inputs = value, size, start, projected, reference
    call(kernel.sample_forward, *inputs, sums)
    call(kernel.sample_backward, *inputs, grad, value_grad, projected_grad, of_heads)

    reference_grad = [sum(of_heads[i :: len(reference)]) for i in range(len(reference))]

    expected = definition(value, sizes, projected, reference, channels)
    if not all(map(near, sums, expected)):
        return 'it computes wrong sums'
    # The sums are linear in the values, so that their gradient gives the same product.
    if not near(dot(value_grad, value), dot(grad, expected)):
        return 'it computes wrong gradients of the values'
    for name, given, gradient in (
        ('distances and weights', projected, projected_grad),
        ('references', reference, reference_grad),
    ):
        ways = spread(len(given), 1, -1)
        products = []
        for step in (-STEP, STEP):
            moved = [g + step * way for g, way in zip(given, ways, strict=True)]
            two = (moved, reference) if given is projected else (projected, moved)
            products.append(dot(grad, definition(value, sizes, two[0], two[1], channels)))
        if not near(dot(gradient, ways), (products[1] - products[0]) / (2 * STEP), 1e-3):
            return f'it computes wrong gradients of the {name}'
    return ''


def main(library: str, channels: str, levels: str, points: str, *before: str) -> str:
    """What is wrong with a library; '' if nothing is."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash here leaves no file
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))  # if nobody is left to end this
    try:
        loaded = [ctypes.CDLL(path) for path in (*before, library)]
    except OSError as error:
        return f'it cannot be loaded ({error})'
    for name in ('sample_forward', 'sample_backward'):
        if not hasattr(loaded[-1], name):
            return f'it has no function {name}'
    sizes = int(channels), int(levels), int(points)
    return wrong(loaded[-1], *sizes, 2) or wrong(loaded[-1], *sizes, 4)


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]) or RIGHT)
