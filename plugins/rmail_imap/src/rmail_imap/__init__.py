"""IMAP4rev1 for rmail."""
