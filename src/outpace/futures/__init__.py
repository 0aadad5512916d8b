"""Calls instead of items: an executor over every model, and joblib's backend made of it.

A call that is submitted travels as an item of a job that has no end; everything that makes it
travel (dispatcher, drivers, hosts) is the engine's own.
"""
