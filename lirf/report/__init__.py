"""Tables, charts, pictures and the page."""
