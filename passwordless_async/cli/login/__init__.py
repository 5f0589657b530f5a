"""``login``: one person, with one factor or two."""
