"""Text towers of the catalogue's shapes on a CPU: qwen3vl and its peers in turn, with random weights, in one run.

Speed does not depend on the values of the weights, so nothing is downloaded. See `python -m benchmarks.cpu --help`.
"""
