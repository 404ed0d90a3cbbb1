"""The formats of logs: one module for each kind, all of which yield record batches with the columns of a batch line."""
