"""The commands of `iptsim`, one module each: `add(commands)` adds its arguments, `run(arguments)` runs it.

Heavy modules are imported only where they are used, so that `iptsim --help` is fast.
"""
