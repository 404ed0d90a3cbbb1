"""Docker: its settings, the rules that dockerd writes for them, and the settings of a host.

`model` holds the settings, `dockerd` what each generation writes and how its rules are recognised, `sources`
where settings are read from.
"""
