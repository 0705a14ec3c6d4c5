"""Audio at the edge: what a file is, how long it lasts, whether it may be read, and subtitles from what was said."""
