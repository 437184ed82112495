"""Figures against baselines; what runs is named by the Makefile."""
