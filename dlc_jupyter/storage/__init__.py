"""Bytes and rows. Knows nothing of analyses or DeepLabCut."""
