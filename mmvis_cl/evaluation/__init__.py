"""Scores of tracks, offline and as an mmengine metric."""

from .shuffle_identities import shuffle_identities
from .track_ap import evaluate_tracks, format_scores, load_annotations, load_results
from .vis_metric import VISMetric

__all__ = [
    'VISMetric',
    'evaluate_tracks',
    'format_scores',
    'load_annotations',
    'load_results',
    'shuffle_identities',
]
