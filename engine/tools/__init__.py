"""Work on finished adapter files: convert, resize, extract, merge."""
