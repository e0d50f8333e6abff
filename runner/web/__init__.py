"""The web server: the JSON API, the console's pages and the live stream, one process of each."""
