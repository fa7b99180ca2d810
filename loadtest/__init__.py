"""Load tests: they measure what it costs to be able to take a token back, on loopback, in one run, in turns."""
