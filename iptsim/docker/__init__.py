"""Docker: its settings, the rules that dockerd writes for them, and whose each rule is.

`model` holds the settings, `dockerd` what each generation writes, `attribution` who wrote a rule, `sources`
where settings are read from.
"""
