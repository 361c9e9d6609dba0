"""Which videos are long: YouTube-VIS 2022 scores short and long ones apart and takes the mean."""

from collections.abc import Collection, Sequence
from pathlib import Path

from mmvis_cl.datasets.annotation_file import video_length
from mmvis_cl.errors import InputError, quoted
from mmvis_cl.json_file import read_bytes, read_json

# How the videos that are long can be told; see `long_video_ids`.
LongVideos = int | str | Sequence[int | str]


def long_video_ids(annotations: dict, long_videos: LongVideos) -> set[int | str]:
    """The ids of the long videos.

    Args:
        annotations: Content of an annotation file in the format of YouTube-VIS.
        long_videos: One of

            - a number of frames: videos with so many or more are long;
            - ids of videos;
            - the path of a ``.json`` file with a list of ids, or with the annotations of the long
              videos alone (the 2022 challenge's ``gt_long.json``), or of a ``.txt`` file with ids
              between spaces or line ends;
            - the name of a key that each long video has in ``annotations``, with a value that is
              true. It may lack from short ones.

    Returns:
        The ids of the annotations' videos that are long.

    Raises:
        InputError: If the file can't be read, an id is unknown, no video has the key, or
            the short or the long videos are none.
    """
    videos = {video['id']: video for video in annotations['videos']}
    if isinstance(long_videos, bool) or long_videos is None:
        raise InputError(f'long_videos={long_videos!r}: give a length, ids, a file or a key')
    if isinstance(long_videos, int):
        name = f'long_videos={long_videos} (frames or more)'
        found = {
            video_id for video_id, video in videos.items() if video_length(video) >= long_videos
        }
    elif not isinstance(long_videos, str) or long_videos.endswith(('.json', '.txt')):
        if isinstance(long_videos, str):
            name = long_videos
            found = _read_ids(long_videos, videos)
        else:
            name = 'long_videos (a list of ids)'
            found = {video_id for video_id in long_videos if isinstance(video_id, (int, str))}
            if len(found) < len(set(map(str, long_videos))):
                raise InputError(f'{name}: has something that is no id; give ids of videos')
        unknown = sorted(found - set(videos), key=str)
        if unknown:
            raise InputError(
                f'{name}: {len(unknown)} of its {len(found)} ids are not among the annotated '
                f'videos, {quoted(unknown[0])} for instance; give ids of these annotations'
            )
    else:
        name = f'long_videos={long_videos!r} (a key of the videos)'
        if not any(long_videos in video for video in videos.values()):
            raise InputError(
                f'{name}: no video of the annotations has it; give another key, a length in '
                'frames, a list of ids, or a .json or .txt file with them'
            )
        found = {video_id for video_id, video in videos.items() if video.get(long_videos)}
    if not found or len(found) == len(videos):
        raise InputError(
            f'{name}: {"none" if not found else "each"} of the {len(videos)} videos is long, so '
            'there are no short and long ones to score apart; correct it or leave it out'
        )
    return found


def _read_ids(path: str, known: Collection[int | str]) -> set[int | str]:
    if path.endswith('.json'):
        content = read_json(path)
        if isinstance(content, dict):
            content = content.get('videos')
            if isinstance(content, list):
                content = [isinstance(video, dict) and video.get('id') for video in content]
        if isinstance(content, list) and all(type(each) in (int, str) for each in content):
            return set(content)
    else:
        try:
            words = read_bytes(Path(path)).decode('utf-8-sig').split()
        except UnicodeDecodeError:
            words = ['']
        # A text file does not tell numbers from texts.
        by_text = {str(video_id): video_id for video_id in known}
        if all(word in by_text or word.isdecimal() for word in words):
            return {by_text.get(word, word) for word in words}
    raise InputError(
        f'{path}: not a list of video ids; give a .json list, an annotation file of the long '
        'videos, or a .txt file with ids between spaces'
    )
