"""Ctrl-C for processes of tests: a suite that a shell runs in the background ignores it, and children inherit that."""

HEED_INTERRUPTS = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Runs Python with the arguments that follow, and SIGINT as in a terminal."""
