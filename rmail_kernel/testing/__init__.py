"""The kit for plugin authors: a whole server in process, fake DNS and MX, a clock, transcripts, a hook recorder."""
