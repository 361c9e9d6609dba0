"""Scores of tracks, offline and as an mmengine metric."""

from mmvis_cl.datasets.annotation_file import load_annotations
from mmvis_cl.structures.merge_tracks import merge_tracks
from mmvis_cl.structures.track_iou import spatio_temporal_iou

from .box_track_metric import BoxTrackMetric
from .error_analysis import analyse_errors
from .identity_measures import identity_measures
from .long_videos import long_video_ids
from .result_file import check_results_alone, load_results, tracks_by_video
from .shuffle_identities import shuffle_identities
from .track_ap import evaluate_tracks, format_scores
from .vis_metric import VISMetric

__all__ = [
    'BoxTrackMetric',
    'VISMetric',
    'analyse_errors',
    'check_results_alone',
    'evaluate_tracks',
    'format_scores',
    'identity_measures',
    'load_annotations',
    'load_results',
    'long_video_ids',
    'merge_tracks',
    'shuffle_identities',
    'spatio_temporal_iou',
    'tracks_by_video',
]
