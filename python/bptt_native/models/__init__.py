"""Models: networks that are trained on whole data sets, and their files."""
