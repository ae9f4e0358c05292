"""Sockets: listeners by name, TLS contexts, peers."""
