"""Raw records of any producer to frames, exactly once."""
