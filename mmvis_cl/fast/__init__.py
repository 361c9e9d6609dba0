"""What makes a finished network fast, applied from outside."""
