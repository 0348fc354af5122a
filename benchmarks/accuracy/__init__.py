"""Accuracy of recurrences at one budget, defaults and all.

`python -m benchmarks.accuracy` trains what has no result yet, and prints a table.
`tasks` has the data, with how long to train on them; `candidates` what is trained.
"""
