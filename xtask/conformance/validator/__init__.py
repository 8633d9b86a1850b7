"""What answers have to look like: a module a dialect, each for whole answers, streams and errors."""
