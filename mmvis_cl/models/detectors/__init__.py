"""The image networks."""
