"""The freshness model: pure values and decisions, no I/O.

`fences` and `reading` say what is known, `proofs` turn it into an instant that an answer covers, `requirement` and
`routing` say what is asked for and where to look for it, `certificate` is what the caller gets.
"""
