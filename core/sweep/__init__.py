"""Many runs from one file: a base configuration and axes, executed here or on a Ray cluster, and summed up."""
