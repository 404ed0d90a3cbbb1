"""The commands of `iptsim`, one module each: `add(commands)` adds its arguments, `run(arguments)` runs it.

Everything heavy is imported where it is used, so that `iptsim --help` is quick.
"""
