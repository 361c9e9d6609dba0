"""Frames to normalised, padded batches."""
