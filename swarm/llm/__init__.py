"""The language model that plans and reviews: asked, checked, counted and kept to a budget."""
