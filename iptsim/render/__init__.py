"""What a terminal, notebooks and pandas show."""
