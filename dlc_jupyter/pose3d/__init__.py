"""Cameras that look at the same scene: calibrated, their poses in space, and the video of both."""
