"""Files and folders to modules, and what every loader does."""
