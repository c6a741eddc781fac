"""What travels: events, topics, frames and their wire forms."""
