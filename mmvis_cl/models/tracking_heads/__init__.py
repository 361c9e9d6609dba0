"""Embeddings, and which queries of the reference frame they learn from."""
