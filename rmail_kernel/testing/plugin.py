"""pytest fixtures for servers and plugins."""
