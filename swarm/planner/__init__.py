"""Planning by a language model: what it is shown, what it is asked, what becomes of its answer."""
