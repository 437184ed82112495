"""Faults on purpose: a relay on every link between two parts, and what can be done to the stores themselves."""
