"""DeepLabCut projects, videos, and the numbers made of them. Nothing here knows HTTP, the queue or the database."""
