"""The job `migrate`: what the stores need before the services start."""
