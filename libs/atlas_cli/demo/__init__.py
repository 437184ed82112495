"""The whole journey on one machine: real parts, real data, answers with their freshness, one trace."""
