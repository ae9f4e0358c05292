"""Where mail goes: rules of the settings, or the mail exchangers that DNS names."""
