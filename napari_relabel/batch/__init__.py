"""A data set at a time."""
