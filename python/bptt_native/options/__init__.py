"""The options of layers, models and optimisers, and their conversion to and from the engine."""
