"""Others' annotations to ours, checking, splitting, made-up videos."""
