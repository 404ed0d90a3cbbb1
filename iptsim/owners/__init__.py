"""Who wrote a rule, and why, in that program's own terms: one module per program.

`maker` defines the form that all of them share; `chains` finds the owner of a chain, `rules` that of a rule, and why it
exists.
"""
