"""Heads on the queries of an image: classes, boxes, masks."""
