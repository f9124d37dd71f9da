"""What a result looks like: in a terminal, as a page, as a picture, and in the formats of other tools."""
