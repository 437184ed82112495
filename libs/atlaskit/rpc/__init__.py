"""gRPC: serving with health, deadlines and drain; calling; errors on the wire; running a process."""
