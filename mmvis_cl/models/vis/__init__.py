"""The video model: frames to detections, embeddings and identities."""
