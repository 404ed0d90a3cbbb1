"""Who wrote a rule, and why, in that program's own terms: one module a program.

`maker` has the form that all of them share, `chains` tells whose a chain is, `rules` whose a rule is and why it
is there.
"""
