"""The storage contracts: what every protocol stands on and every driver keeps. See
docs/storage.md.
"""
