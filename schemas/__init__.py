"""What travels: one event, one topic, one file. Imports nothing else of wardstream."""
