"""The scenes of moving shapes: what moves how, and how it is drawn."""

import colorsys
import math
from dataclasses import dataclass

import cv2
import numpy as np

CLASSES = ('disk', 'triangle', 'star')
PATTERNS = ('gradient', 'stripes', 'dots')  # of the classes, in their order

HUE_BINS = 6
FREQUENCIES = (5.2, 6.6, 8.4)  # coarse, middle and fine texture, in radians per radius
MIN_VISIBLE_PIXELS = 12
GAPS = 5, 60  # frames that an object is away for, where gaps are asked to be long
AROUND_A_GAP = 5  # frames before and after it, at least


@dataclass
class _Appearance:
    """Colour and texture of an object, in coordinates that turn and grow with it."""

    hue_bin: int
    hue_in_bin: float  # 0 to 1
    pattern: str
    second_hue: float  # offset to the first, in turns
    saturation: float
    value: float
    frequency: float  # radians per radius of the object
    angle: float

    def colours(self) -> tuple[np.ndarray, np.ndarray]:
        hue = (self.hue_bin + self.hue_in_bin) / HUE_BINS
        light = colorsys.hsv_to_rgb(hue, self.saturation, self.value)
        dark = colorsys.hsv_to_rgb((hue + self.second_hue) % 1, self.saturation, 0.55 * self.value)
        return 255 * np.float32(light[::-1]), 255 * np.float32(dark[::-1])


@dataclass
class _Object:
    label: int
    appearance: _Appearance
    centres: np.ndarray  # (T, 2) x, y in pixels
    radii: np.ndarray  # (T,) pixels
    angles: np.ndarray  # (T,) radians


def render_video(
    rng: np.random.Generator,
    length: int = 16,
    size: tuple[int, int] = (160, 96),
    split: str = 'train',
    long_gaps: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one video.

    Args:
        rng: Source of all random choices.
        length: Number of frames T.
        size: Width W and height H in pixels.
        split: 'train' or 'valid'; decides which colours go with which textures.
        long_gaps: Whether two objects that look alike, and some others, are away for 5 to 60 frames
            (fewer in a short video) and come back elsewhere. Takes 15 frames at least.

    Returns:
        - frames: (T, H, W, 3) uint8, BGR.
        - masks: (N, T, H, W) bool, the visible part of each of the N objects (2 to 5). A frame
          in which less than 12 pixels of an object are visible has an empty mask.
        - labels: (N,) int64, index into ``CLASSES``.
    """
    # An object that nobody gets to see long enough is no use to training: draw the scene again.
    while True:
        objects = _sample_objects(rng, length, size, split, long_gaps)
        alphas = np.stack([_silhouettes(thing, size) for thing in objects])
        covers = alphas > 0.5
        # The first object is the farthest; each one hides those before it.
        hidden = np.zeros_like(covers)
        hidden[:-1] = np.logical_or.accumulate(covers[:0:-1], axis=0)[::-1]
        masks = covers & ~hidden
        masks &= (masks.sum((2, 3)) >= MIN_VISIBLE_PIXELS)[:, :, None, None]
        least = AROUND_A_GAP if long_gaps else math.ceil(length / 3)
        if (masks.any((2, 3)).sum(1) >= least).all():
            break

    frames = _background(rng, length, size, split)
    for thing, alpha in zip(objects, alphas, strict=True):
        for frame, frame_alpha, centre, radius, angle in zip(
            frames, alpha, thing.centres, thing.radii, thing.angles, strict=True
        ):
            rows, columns = _window(centre, radius, size)
            if rows.start >= rows.stop or columns.start >= columns.stop:
                continue
            u, v = _object_coordinates(rows, columns, centre, radius, angle)
            weight = _texture(thing.appearance, u, v)[..., None]
            light, dark = thing.appearance.colours()
            paint = weight * light + (1 - weight) * dark
            cover = frame_alpha[rows, columns, None]
            frame[rows, columns] += cover * (paint - frame[rows, columns])
    frames += rng.normal(0, 2, frames.shape).astype(np.float32)
    labels = np.array([thing.label for thing in objects], dtype=np.int64)
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8), masks, labels


def _sample_objects(
    rng: np.random.Generator, length: int, size: tuple[int, int], split: str, long_gaps: bool
) -> list[_Object]:
    """Two to five objects, farthest first. In most videos at least two are of one class."""
    num_objects = int(rng.integers(2, 6))
    labels = rng.integers(len(CLASSES), size=num_objects)
    appearances = [_sample_appearance(rng, split, int(label)) for label in labels]
    if rng.random() < 0.7 or long_gaps:
        labels[1] = labels[0]
        appearances[1] = _look_alike(rng, appearances[0])
    leaves = rng.random(num_objects) < 0.25
    leave = _leave_and_return
    if long_gaps:
        leaves[:2], leave = True, _away_and_back
    objects = []
    for label, appearance, leaving in zip(labels, appearances, leaves, strict=True):
        sample_motion = leave if leaving else _wander
        centres, radii = sample_motion(rng, length, size)
        time = np.arange(length)
        angles = rng.uniform(0, 2 * math.pi) + math.radians(rng.uniform(-8, 8)) * time
        objects.append(_Object(int(label), appearance, centres, radii, angles))
    return [objects[index] for index in rng.permutation(num_objects)]


def _sample_appearance(rng: np.random.Generator, split: str, label: int) -> _Appearance:
    # Every hue and every measure of texture is seen in training; a third of their combinations is
    # held out, the same for all classes, so that colour says nothing about the class.
    combinations = [
        (hue_bin, measure)
        for hue_bin in range(HUE_BINS)
        for measure in range(len(FREQUENCIES))
        if ((hue_bin + measure) % 3 == 0) == (split == 'valid')
    ]
    hue_bin, measure = combinations[rng.integers(len(combinations))]
    return _Appearance(
        hue_bin=hue_bin,
        hue_in_bin=rng.random(),
        pattern=PATTERNS[label],
        second_hue=rng.uniform(-0.08, 0.08),
        saturation=rng.uniform(0.7, 0.95),
        value=rng.uniform(0.8, 1.0),
        frequency=FREQUENCIES[measure] * rng.uniform(0.93, 1.07),
        angle=rng.uniform(0, math.pi),
    )


def _look_alike(rng: np.random.Generator, other: _Appearance) -> _Appearance:
    """The same texture in a hue 30 degrees away, within the same bin of hues."""
    return _Appearance(
        hue_bin=other.hue_bin,
        hue_in_bin=(other.hue_in_bin + 0.5) % 1,
        pattern=other.pattern,
        second_hue=other.second_hue,
        saturation=other.saturation,
        value=other.value,
        frequency=other.frequency,
        angle=rng.uniform(0, math.pi),
    )


def _growing(rng: np.random.Generator, radius: float, length: int) -> np.ndarray:
    phase = rng.uniform(0, 2 * math.pi) + 2 * math.pi * np.arange(length) / rng.uniform(16, 32)
    return radius * (1 + rng.uniform(0, 0.25) * np.sin(phase))


def _wander(
    rng: np.random.Generator, length: int, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """A slowly bending path at 1 to 4 pixels a frame that bounces off the sides."""
    radii = _growing(rng, rng.uniform(16, 26), length)
    speed = rng.uniform(1, 4)
    heading = rng.uniform(0, 2 * math.pi) + math.radians(rng.uniform(-6, 6)) * np.arange(length)
    steps = speed * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    low = np.full(2, 14.0)
    span = np.array(size) - 2 * low
    path = rng.uniform(0, span) + np.cumsum(steps, axis=0)
    return low + span - np.abs(span - path % (2 * span)), radii


def _leave_and_return(
    rng: np.random.Generator, length: int, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Swings out of the picture through one side and back, drifting along that side."""
    radii = _growing(rng, rng.uniform(14, 19), length)
    period = rng.uniform(16, 22)
    turn = rng.uniform(0.35, 0.6) * min(length, period)
    nearest, farthest = -1.25 * radii.max() - rng.uniform(2, 5), rng.uniform(14, 24)
    swing = 0.5 * (1 - np.cos(2 * math.pi * (np.arange(length) - turn) / period))
    inside = nearest + (farthest - nearest) * swing
    side = int(rng.integers(4))  # left, top, right, bottom
    axis = side % 2
    along = rng.uniform(0.3, 0.7) * size[1 - axis]
    centres = np.empty((length, 2))
    centres[:, axis] = inside if side < 2 else size[axis] - inside
    centres[:, 1 - axis] = along + rng.uniform(-1.5, 1.5) * (np.arange(length) - length / 2)
    return centres, radii


def _away_and_back(
    rng: np.random.Generator, length: int, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Wanders, is away for long, and wanders on from another place."""
    centres, radii = _wander(rng, length, size)
    elsewhere, _ = _wander(rng, length, size)
    gap = rng.integers(GAPS[0], min(GAPS[1], length - 2 * AROUND_A_GAP), endpoint=True)
    start = rng.integers(AROUND_A_GAP, length - AROUND_A_GAP - gap, endpoint=True)
    centres[start:] = elsewhere[start:]
    centres[start : start + gap] = -1.25 * radii.max() - 3  # above the upper left corner
    return centres, radii


def _window(centre: np.ndarray, radius: float, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the picture that an object can reach."""
    reach = 1.25 * radius + 2
    first = np.clip(np.floor(centre - reach), 0, size).astype(int)
    last = np.clip(np.ceil(centre + reach), 0, size).astype(int)
    return slice(first[1], last[1]), slice(first[0], last[0])


def _object_coordinates(
    rows: slice, columns: slice, centre: np.ndarray, radius: float, angle: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres of a window, turned with the object, in units of its radius."""
    y, x = np.mgrid[rows, columns].astype(np.float32) + 0.5
    x, y = (x - centre[0]) / radius, (y - centre[1]) / radius
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * x + sin * y, cos * y - sin * x


def _silhouettes(thing: _Object, size: tuple[int, int]) -> np.ndarray:
    """(T, H, W) float32: the share of each pixel that the object covers, hidden or not."""
    alphas = np.zeros((len(thing.radii), size[1], size[0]), dtype=np.float32)
    for alpha, centre, radius, angle in zip(
        alphas, thing.centres, thing.radii, thing.angles, strict=True
    ):
        rows, columns = _window(centre, radius, size)
        u, v = _object_coordinates(rows, columns, centre, radius, angle)
        alpha[rows, columns] = np.clip(0.5 - radius * _distance(CLASSES[thing.label], u, v), 0, 1)
    return alphas


def _distance(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Distance to the outline near it, in radii; negative inside. Shapes have similar areas."""
    distance_to_centre = np.hypot(u, v)
    if shape == 'disk':
        return distance_to_centre - 0.95
    corners = dict(triangle=3, star=5)[shape]
    # Both are the same wedge repeated: fold the plane into half of it, bounded by one straight
    # line from an outer corner (on the axis) to the next inner one.
    wedge = math.pi / corners
    folded = np.abs((np.arctan2(v, u) + wedge) % (2 * wedge) - wedge)
    outer, inner = dict(triangle=(1.2, 0.6), star=(1.2, 0.58))[shape]
    corner = np.array([outer, 0.0])
    edge = inner * np.array([math.cos(wedge), math.sin(wedge)]) - corner
    normal = np.array([edge[1], -edge[0]]) / np.hypot(*edge)
    x, y = distance_to_centre * np.cos(folded), distance_to_centre * np.sin(folded)
    return (x - corner[0]) * normal[0] + (y - corner[1]) * normal[1]


def _texture(appearance: _Appearance, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Weight of the light colour, 0 to 1."""
    cos, sin = math.cos(appearance.angle), math.sin(appearance.angle)
    u, v = cos * u + sin * v, cos * v - sin * u
    frequency = appearance.frequency
    if appearance.pattern == 'stripes':
        weight = 0.5 + 1.5 * np.sin(frequency * u)
    elif appearance.pattern == 'dots':
        weight = 0.2 + np.cos(frequency * u) + np.cos(frequency * v)
    else:
        weight = 0.5 + 0.5 * u
    return np.clip(weight, 0, 1).astype(np.float32)


def _background(
    rng: np.random.Generator, length: int, size: tuple[int, int], split: str
) -> np.ndarray:
    """(T, H, W, 3) float32: a gradient and smooth noise of low contrast, panned slowly."""
    pan = rng.uniform(-1, 1, size=2)
    travel = np.abs(pan) * (length - 1)
    width, height = (int(side + math.ceil(way)) + 1 for side, way in zip(size, travel, strict=True))
    base = rng.uniform(70, 170) + rng.uniform(-18, 18, size=3)
    # Coarser clouds in training than in validation.
    cells = int(rng.integers(4, 8) if split == 'train' else rng.integers(8, 12))
    noise = rng.normal(0, 1, (cells, cells, 3)).astype(np.float32)
    canvas = 9 * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    slope = rng.uniform(-15, 15, size=(2, 3))
    canvas += np.linspace(-1, 1, width)[None, :, None] * slope[0]
    canvas += np.linspace(-1, 1, height)[:, None, None] * slope[1]
    canvas = (canvas + base).astype(np.float32)
    start = np.where(pan < 0, travel, 0)
    frames = np.empty((length, size[1], size[0], 3), dtype=np.float32)
    for frame_id, frame in enumerate(frames):
        left, top = start + frame_id * pan
        shift = np.float32([[1, 0, -left], [0, 1, -top]])
        frame[:] = cv2.warpAffine(canvas, shift, size, borderMode=cv2.BORDER_REPLICATE)
    return frames
