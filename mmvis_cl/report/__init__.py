"""Results as pages: each video playing with its identities, what is wrong, and the scores."""
