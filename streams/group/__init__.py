"""A stage's place in its consumer group, on Faust: the one room in which Faust is spoken to."""
