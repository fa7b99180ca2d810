"""What it costs to be able to take a token back: load tests on loopback, in one run, in turns."""
