"""What can be run: one class an analysis."""
