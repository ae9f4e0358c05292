"""The one HTTP host that plugins mount their routes on."""
