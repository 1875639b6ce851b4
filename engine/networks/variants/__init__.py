"""What an adapter can be beyond two plain factors: one small file for each kind."""
