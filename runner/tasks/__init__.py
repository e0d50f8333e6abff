"""The built-in tasks: what computes a result from one row."""
