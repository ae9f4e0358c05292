"""How mail enters: resolve, policy, on_deliver, store, on_store."""
