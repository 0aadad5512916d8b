"""Threads as they are seen from outside: on a CPU, ready for one, or waiting, and for what."""
