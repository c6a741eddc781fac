"""The shipped detectors over files of a user's own history, measured and pictured."""
