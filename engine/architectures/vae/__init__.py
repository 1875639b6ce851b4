"""VAEs: loaded, and how pictures go in and out of them."""
