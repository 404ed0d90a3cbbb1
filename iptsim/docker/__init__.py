"""Docker: its settings, the rules that dockerd writes for them, and the settings of a host.

`model` contains the settings, `dockerd` what each generation writes and how its rules are recognised, `sources` the
readers of settings.
"""
