"""Texts, time series and labelled sequences: their data, options, runs and results."""
