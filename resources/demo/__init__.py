"""The demo: a small text-to-image model that this project drew and trained itself."""
