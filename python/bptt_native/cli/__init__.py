"""The program ``bptt-native``."""
