"""The sound of a video, for the drawn form of it."""

from collections.abc import Iterator

import av

from mmvis_cl.datasets.video_file import open_container

# What an mp4 takes as it is; anything else is encoded as AAC.
COPIED = ('aac', 'mp3', 'ac3', 'eac3', 'opus', 'alac')


class Sound:
    """The first sound of a file, handed on in step with the frames.

    Args:
        path: Of the file.

    Raises:
        OSError: It cannot be opened.
        LookupError: It has no sound.
    """

    def __init__(self, path: str) -> None:
        self._input = open_container(path)
        if not self._input.streams.audio or not self._input.streams.video:
            self._input.close()
            raise LookupError(f'{path}: no sound')
        self._stream = self._input.streams.audio[0]
        video = self._input.streams.video[0]
        # times of frames are counted from the first frame
        self._zero = float((video.start_time or 0) * video.time_base)
        self._copied = self._stream.codec_context.name.split('_')[0] in COPIED
        self._waiting: av.Packet | None = None

    def add_to(self, output: av.container.OutputContainer) -> None:
        """Add the stream, before anything is written to the file."""
        if not self._copied:
            rate = self._stream.codec_context.sample_rate
            self._output = output.add_stream('aac', rate=rate)
            self._packets = self._encoded(rate)
        else:
            if hasattr(output, 'add_stream_from_template'):
                self._output = output.add_stream_from_template(self._stream)
            else:  # PyAV before 14
                self._output = output.add_stream(template=self._stream)
            self._packets = (p for p in self._input.demux(self._stream) if p.dts is not None)

    def mux(self, output: av.container.OutputContainer, begin: float, until: float) -> None:
        """Write what sounds from ``begin`` on, up to ``until``.

        Args:
            output: The file.
            begin: Time of the first frame of the file, in seconds since the source's first frame.
            until: Up to when, on the same clock.
        """
        while True:
            packet = self._waiting or next(self._packets, None)
            self._waiting = None
            if packet is None:
                return
            time = float((packet.pts or packet.dts) * packet.time_base) - self._zero
            if time >= until:
                self._waiting = packet
                return
            if time < begin:
                continue
            shift = round((begin + self._zero) / packet.time_base)
            packet.pts = packet.dts = packet.pts - shift
            packet.stream = self._output
            output.mux(packet)

    def close(self) -> None:
        """Close the source."""
        self._input.close()

    def _encoded(self, rate: int) -> Iterator[av.Packet]:
        layout = self._stream.codec_context.layout.name
        resampler = av.AudioResampler(format='fltp', layout=layout, rate=rate)
        for frame in self._input.decode(self._stream):
            for resampled in resampler.resample(frame):
                yield from self._output.encode(resampled)
        yield from self._output.encode(None)
