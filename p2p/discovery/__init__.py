"""Finding nodes beyond the seeds: who is told of whom, who may be dialled; no Django."""
