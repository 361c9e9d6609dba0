"""Which queries learn which object."""
