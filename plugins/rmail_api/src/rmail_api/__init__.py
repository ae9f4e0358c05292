"""The REST API for rmail."""
