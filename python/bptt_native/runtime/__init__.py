"""The engine's settings and time, files, signals and the standard error."""
