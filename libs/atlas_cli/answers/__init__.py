"""Forty questions about the four public sets, whose exact answers are known."""
