"""IMAP's grammar (RFC 3501 9): from the bytes of one command to frozen dataclasses. Only BadSyntax
is raised; nothing here does input or output.
"""
