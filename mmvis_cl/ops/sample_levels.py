"""Multi-scale deformable attention between its projections, and its gradients, in Triton.

What ``sample_levels.c`` computes on a CPU: a query has sampling points in the maps of several
levels, and for each head the bilinear samples there are summed, weighted by a softmax over all
points of the head. The two files share their names and their order.

A program takes one head of one image and some queries. It works on blocks of (queries, points,
channels): the channels of a pixel lie next to each other and are loaded together, and the corners
of all points of a query are under way at once, which hides how long each of them takes. Blocks
have powers of two as sizes, so that points and channels that are none are masked.

``triton_sampling.py`` launches this with dense arrays:

    value        (images, pixels, heads, channels) of any float type up to float32, the pixels of
                 all levels; less than 2^31 values an image
    shapes       (levels, 2) int64, their heights and widths
    starts       (levels) int64, the first pixel of each
    projected    (images, queries, 3, heads, points), of a sampling point: its distance in x and y
                 from the query's reference, and its weight before the softmax
    reference    (images, queries, levels, coordinates), a point x, y or a box cx, cy, w, h over the
                 level's size. Distances from a point are in pixels of the level, from a box in
                 its half sides divided by the points of a level.
    sums         (images, queries, heads, channels) float32

``points`` are those of all levels together, level by level. Outside of a map lie zeros. A NaN as
place lies outside. Whatever the types are, float32 is what is computed with.
"""

import triton
import triton.language as tl


@triton.jit
def _find_points(
    projected,
    reference,
    shapes,
    starts,
    pixels,
    image,
    query,
    head,
    queries,
    heads: tl.constexpr,
    levels: tl.constexpr,
    points: tl.constexpr,
    coordinates: tl.constexpr,
    block_points: tl.constexpr,
):
    """The sampling points of some queries, (queries, points), and the levels of these, (points)."""
    points_per_level: tl.constexpr = points // levels
    point = tl.arange(0, block_points)
    is_point = point < points
    level = point // points_per_level
    height = tl.load(shapes + 2 * level, mask=is_point, other=0).to(tl.int32)
    width = tl.load(shapes + 2 * level + 1, mask=is_point, other=0).to(tl.int32)
    start = tl.load(starts + level, mask=is_point, other=0).to(tl.int32)

    row = image * queries + query
    exists = (query < queries)[:, None] & is_point[None, :]
    # x, y and logit of a point, each as far from the next
    step: tl.constexpr = heads * points
    at = projected + (row * 3 * step)[:, None] + (head * points + point)[None, :]
    x = tl.load(at, mask=exists, other=0).to(tl.float32)
    y = tl.load(at + step, mask=exists, other=0).to(tl.float32)
    logit = tl.load(at + 2 * step, mask=exists, other=0).to(tl.float32)
    logit = tl.where(is_point[None, :], logit, float('-inf'))
    power = tl.exp(logit - tl.max(logit, 1)[:, None])
    weight = power / tl.sum(power, 1)[:, None]
    # Nobody can look at the levels' sizes without waiting for the device. What is too large for the
    # values is not read, and shows.
    fits = (start + height * width <= pixels)[None, :]
    weight = tl.where(fits, weight, float('nan'))

    at = reference + (row * (levels * coordinates))[:, None] + (level * coordinates)[None, :]
    along_x = tl.full(x.shape, 1, tl.float32)
    along_y = along_x
    if coordinates == 4:
        box_width = tl.load(at + 2, mask=exists, other=0).to(tl.float32)
        box_height = tl.load(at + 3, mask=exists, other=0).to(tl.float32)
        along_x = box_width * width[None, :] / (2 * points_per_level)
        along_y = box_height * height[None, :] / (2 * points_per_level)
    center_x = tl.load(at, mask=exists, other=0).to(tl.float32)
    center_y = tl.load(at + 1, mask=exists, other=0).to(tl.float32)
    place_x = x * along_x + (center_x * width[None, :] - 0.5)
    place_y = y * along_y + (center_y * height[None, :] - 0.5)
    # also false for a NaN, which must not become a place in memory
    inside = (place_x >= -1) & (place_x <= width[None, :])
    inside = inside & (place_y >= -1) & (place_y <= height[None, :]) & exists & fits
    place_x = tl.where(inside, place_x, 0)
    place_y = tl.where(inside, place_y, 0)
    return weight, place_x, place_y, along_x, along_y, inside, width, height, start


@triton.jit
def _find_corner(x, y, inside, width, height, start, right: tl.constexpr, bottom: tl.constexpr):
    """One of the four corners around each point: its pixel, whether it is one, and its shares.

    The share of the corner in the sample is the product of the shares by x and by y.
    """
    left, top = tl.floor(x), tl.floor(y)
    column, line = left.to(tl.int32) + right, top.to(tl.int32) + bottom
    exists = inside & (column >= 0) & (column < width[None, :])
    exists = exists & (line >= 0) & (line < height[None, :])
    share_x, share_y = x - left, y - top
    if not right:
        share_x = 1 - share_x
    if not bottom:
        share_y = 1 - share_y
    return start[None, :] + line * width[None, :] + column, exists, share_x, share_y


# Numbers of queries and of pixels differ from video to video: without this, those that 16 divides
# and those that it does not would be compiled apart.
@triton.jit(do_not_specialize=['pixels', 'queries'])
def sample_forward(
    value,
    shapes,
    starts,
    projected,
    reference,
    sums,
    pixels,
    queries,
    heads: tl.constexpr,
    channels: tl.constexpr,
    levels: tl.constexpr,
    points: tl.constexpr,
    coordinates: tl.constexpr,
    block_queries: tl.constexpr,
    block_points: tl.constexpr,
    block_channels: tl.constexpr,
):
    """Compute the sums."""
    query = tl.program_id(0) * block_queries + tl.arange(0, block_queries)
    head, image = tl.program_id(1), tl.program_id(2).to(tl.int64)
    weight, x, y, _, _, inside, width, height, start = _find_points(
        projected,
        reference,
        shapes,
        starts,
        pixels,
        image,
        query,
        head,
        queries,
        heads,
        levels,
        points,
        coordinates,
        block_points,
    )
    channel = tl.arange(0, block_channels)
    is_channel = channel < channels
    pitch: tl.constexpr = heads * channels
    value += image * pixels * pitch + head * channels
    samples = tl.zeros((block_queries, block_points, block_channels), tl.float32)
    for bottom in tl.static_range(2):
        for right in tl.static_range(2):
            pixel, exists, share_x, share_y = _find_corner(
                x, y, inside, width, height, start, right, bottom
            )
            row = tl.load(
                value + (pixel * pitch)[:, :, None] + channel[None, None, :],
                mask=exists[:, :, None] & is_channel[None, None, :],
                other=0,
            )
            samples += row.to(tl.float32) * (share_x * share_y)[:, :, None]
    total = tl.sum(samples * weight[:, :, None], 1)
    row = (image * queries + query) * pitch + head * channels
    tl.store(
        sums + row[:, None] + channel[None, :],
        total,
        mask=(query < queries)[:, None] & is_channel[None, :],
    )


@triton.jit(do_not_specialize=['pixels', 'queries'])
def sample_backward(
    value,
    shapes,
    starts,
    projected,
    reference,
    sums_grad,
    value_grad,
    projected_grad,
    reference_grad,
    pixels,
    queries,
    heads: tl.constexpr,
    channels: tl.constexpr,
    levels: tl.constexpr,
    points: tl.constexpr,
    coordinates: tl.constexpr,
    block_queries: tl.constexpr,
    block_points: tl.constexpr,
    block_channels: tl.constexpr,
    reference_is_wanted: tl.constexpr,
):
    """Compute the gradients; those of value and reference must be zero before."""
    query = tl.program_id(0) * block_queries + tl.arange(0, block_queries)
    head, image = tl.program_id(1), tl.program_id(2).to(tl.int64)
    weight, x, y, along_x, along_y, inside, width, height, start = _find_points(
        projected,
        reference,
        shapes,
        starts,
        pixels,
        image,
        query,
        head,
        queries,
        heads,
        levels,
        points,
        coordinates,
        block_points,
    )
    channel = tl.arange(0, block_channels)
    is_channel = channel < channels
    pitch: tl.constexpr = heads * channels
    query_row = image * queries + query
    grad = tl.load(
        sums_grad + (query_row * pitch + head * channels)[:, None] + channel[None, :],
        mask=(query < queries)[:, None] & is_channel[None, :],
        other=0,
    ).to(tl.float32)

    first = image * pixels * pitch + head * channels
    value += first
    value_grad += first
    by_weight = tl.zeros(x.shape, tl.float32)
    by_x = tl.zeros(x.shape, tl.float32)
    by_y = tl.zeros(x.shape, tl.float32)
    for bottom in tl.static_range(2):
        for right in tl.static_range(2):
            pixel, exists, share_x, share_y = _find_corner(
                x, y, inside, width, height, start, right, bottom
            )
            place = (pixel * pitch)[:, :, None] + channel[None, None, :]
            mask = exists[:, :, None] & is_channel[None, None, :]
            row = tl.load(value + place, mask=mask, other=0).to(tl.float32)
            share = (weight * share_x * share_y)[:, :, None]
            # other queries, in other programs, sample the same pixels
            tl.atomic_add(value_grad + place, grad[:, None, :] * share, mask=mask, sem='relaxed')
            product = tl.sum(row * grad[:, None, :], 2)
            by_weight += product * share_x * share_y
            by_x += product * share_y * (2 * right - 1)
            by_y += product * share_x * (2 * bottom - 1)

    mean = tl.sum(by_weight * weight, 1)
    by_x *= weight
    by_y *= weight
    point = tl.arange(0, block_points)
    exists = (query < queries)[:, None] & (point < points)[None, :]
    step: tl.constexpr = heads * points
    place = (query_row * 3 * step)[:, None] + (head * points + point)[None, :]
    tl.store(projected_grad + place, by_x * along_x, mask=exists)
    tl.store(projected_grad + place + step, by_y * along_y, mask=exists)
    tl.store(projected_grad + place + 2 * step, (by_weight - mean[:, None]) * weight, mask=exists)

    if reference_is_wanted:
        # all heads, in other programs, and all points of a level have the same one
        points_per_level: tl.constexpr = points // levels
        level = (query_row * levels)[:, None] + (point // points_per_level)[None, :]
        to = reference_grad + level * coordinates
        by_x *= width[None, :]
        by_y *= height[None, :]
        tl.atomic_add(to, by_x, mask=exists, sem='relaxed')
        tl.atomic_add(to + 1, by_y, mask=exists, sem='relaxed')
        if coordinates == 4:
            moved_x = tl.load(projected + place, mask=exists, other=0).to(tl.float32)
            moved_y = tl.load(projected + place + step, mask=exists, other=0).to(tl.float32)
            by_x *= moved_x / (2 * points_per_level)
            by_y *= moved_y / (2 * points_per_level)
            tl.atomic_add(to + 2, by_x, mask=exists, sem='relaxed')
            tl.atomic_add(to + 3, by_y, mask=exists, sem='relaxed')
