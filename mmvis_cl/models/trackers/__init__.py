"""The association: which detection is which identity."""
