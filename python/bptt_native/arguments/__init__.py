"""The conversion and refusal of arguments."""
