"""Small video files whose frames can be told apart."""

import struct
from fractions import Fraction

import av
import numpy as np


def picture(t: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Frame ``t``, RGB: red at the upper left, green below it; grey that grows to ``t`` 24."""
    h, w = size
    image = np.full((h, w, 3), 10 * (t % 25), np.uint8)
    image[: h // 2, : w // 4] = (255, 0, 0)
    image[h // 2 :, : w // 4] = (0, 255, 0)
    return image


def number(image: np.ndarray) -> int:
    """Which frame an upright picture is, up to the codec's loss."""
    return round(float(image[:, -image.shape[1] // 3 :].mean()) / 10)


def write_video(
    path,
    length=12,
    fps=10,
    size=(48, 64),
    codec='libx264',
    pix_fmt='yuv420p',
    times=None,
    images=None,
    **muxer,
):
    """A video of ``picture`` 0 to ``length - 1``; ``times`` in ms; ``muxer`` options.

    Of ``images``, (H, W, 3) uint8 RGB, in place of them if there are some.
    """
    if images is not None:
        length, size = len(images), images[0].shape[:2]
    with av.open(str(path), 'w', options={k: str(v) for k, v in muxer.items()}) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        stream.gop_size = 4
        if times is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for t in range(length):
            image = picture(t, size) if images is None else np.ascontiguousarray(images[t])
            frame = av.VideoFrame.from_ndarray(image, format='rgb24')
            if times is not None:
                frame.pts, frame.time_base = times[t], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def set_display_matrix(path, a, b, c, d):
    """Say in an mp4 that x' = a x + c y, y' = b x + d y, as a phone does that was held upright."""
    content = bytearray(path.read_bytes())
    # type, version and flags, five times and ids, 8 bytes reserved, layer to volume, reserved
    place = content.index(b'tkhd') + 4 + 4 + 20 + 8 + 8
    content[place : place + 36] = struct.pack(
        '>9i', *(v << 16 for v in (a, b, 0, c, d, 0, 0, 0)), 1 << 30
    )
    path.write_bytes(content)
