"""The output for terminals, notebooks and pandas."""
