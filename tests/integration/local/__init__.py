"""Tests of one package: what they share ends with them."""
