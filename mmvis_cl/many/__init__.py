"""Thousands of videos: which they are, who tracks them, what is known of those that are done."""
