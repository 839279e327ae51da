"""The options of layers, models and optimisers, in Python's words and in the engine's."""
