"""Accounts and authentication; `create_user` makes an account without a running server."""
